'use strict';

// The page of an application that is started on demand: asks for it where the
// page may, shows how that goes, and goes on to what was asked for.  What the
// page says without this script is right; this keeps it so.
(() => {
  const page = document.querySelector('[data-demand]');
  const { to } = page.dataset;
  const path = location.pathname;
  const of = (name) => page.querySelector(`[data-part="${name}"]`);

  const show = (answer) => {
    page.dataset.demand = answer.state;
    of('status').textContent = answer.text;
    of('alert').textContent = answer.message || '';
    of('alert').hidden = !answer.message;
    of('log').textContent = answer.log || '';
    of('log').hidden = !answer.log;
    of('progress').hidden = answer.state !== 'Starting';
    // a service has as long as it needs: the bar only moves
    if (answer.timeout > 0) {
      of('progress').max = answer.timeout;
      of('progress').value = Math.min(answer.seconds, answer.timeout);
    }
    of('form').hidden = answer.state === 'Starting';
    of('button').textContent = answer.button;
  };

  const ask = async (method) => {
    const answer = await fetch(path, {
      method,
      credentials: 'same-origin',
      headers: { Accept: 'application/json' },
    });
    // What is not an answer about the application is the gateway's to say:
    // signed out, stopped, deleted.  That amld is away passes.
    if (!answer.ok) {
      if (answer.status < 500) {
        location.replace(to);
      }
      return { state: 'Unknown' };
    }
    return answer.json();
  };

  const wait = async (method) => {
    let answer = { state: 'Unknown' };
    try {
      answer = await ask(method);
    } catch {
      // not reached: tried again
    }
    if (answer.state === 'Running') {
      location.replace(to);
      return;
    }
    if (answer.state !== 'Unknown') {
      show(answer);
    }
    if (answer.state === 'Unknown' || answer.state === 'Starting') {
      setTimeout(wait, 500, answer.state === 'Unknown' ? method : 'GET');
    }
  };

  of('form').addEventListener('submit', (event) => {
    event.preventDefault();
    wait('POST');
  });

  if ('auto' in page.dataset) {
    wait('POST');
  } else if (page.dataset.demand === 'Starting') {
    wait('GET');
  }
})();
