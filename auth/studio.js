'use strict';

// The studio page: state of one's instances, start and stop.  What the page
// says without this script is right; this keeps it so.
(() => {
  const version = '?api-version=2022-10-01';
  const settled = new Set(['Running', 'Stopped', 'CreateFailed', 'Unusable']);
  const rows = [...document.querySelectorAll('[data-id]')];

  const show = (row, state) => {
    row.dataset.state = state;
    row.querySelector('.state').textContent = state;
    row.querySelector('.links').hidden = state !== 'Running';
    for (const button of row.querySelectorAll('[data-action]')) {
      const from = button.dataset.action === 'start' ? 'Stopped' : 'Running';
      button.hidden = state !== from;
      button.disabled = false;
    }
  };

  const complain = (row, text) => {
    const note = row.querySelector('[role=alert]');
    note.textContent = text;
    note.hidden = text === '';
  };

  const ask = async (row, method, path) => {
    const answer = await fetch(row.dataset.id + path + version, {
      method,
      credentials: 'same-origin',
      headers: { Accept: 'application/json' },
    });
    if (answer.status === 401) {
      location.reload();
    }
    const text = await answer.text();
    let body = {};
    try {
      body = text === '' ? {} : JSON.parse(text);
    } catch {
      throw new Error(`The gateway answered ${answer.status}.`);
    }
    if (!answer.ok) {
      const error = body.error || {};
      throw Object.assign(new Error(error.message || answer.statusText), {
        status: answer.status,
      });
    }
    return body;
  };

  const look = async (row) => {
    try {
      const body = await ask(row, 'GET', '');
      show(row, body.properties.properties.state);
    } catch (error) {
      if (error.status === 404) {
        row.remove();
      }
    }
  };

  const act = async (row, button) => {
    button.disabled = true;
    complain(row, '');
    try {
      await ask(row, 'POST', `/${button.dataset.action}`);
    } catch (error) {
      complain(row, error.message);
    }
    await look(row);
  };

  for (const row of rows) {
    show(row, row.dataset.state);
    for (const button of row.querySelectorAll('[data-action]')) {
      button.addEventListener('click', () => act(row, button));
    }
  }

  let ticks = 0;
  setInterval(() => {
    ticks += 1;
    if (document.hidden) {
      return;
    }
    for (const row of rows) {
      if (row.isConnected
          && (!settled.has(row.dataset.state) || ticks % 10 === 0)) {
        look(row);
      }
    }
  }, 1500);
})();
