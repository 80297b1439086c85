// The browser's side of front_door.t.

import { ask, browser, end, it, must, ok, seconds, shot, signIn, step, until }
  from './driver.mjs';

const cell = (page, n) =>
  page.locator('.jp-NotebookPanel:not(.lm-mod-hidden) .jp-Cell').nth(n);

// Types into a cell, runs it, waits for its output.  JupyterLab drops what is
// run while it is still connecting to the kernel; then it is run again, as a
// person would.
async function run(page, n, code, output) {
  const editor = cell(page, n).locator('.cm-content');
  const prompt = cell(page, n).locator('.jp-InputPrompt');
  await editor.click();
  await page.keyboard.type(code);
  for (let i = 0; i < 5; i++) {
    await page.keyboard.press('Shift+Enter');
    const taken = await until(async () =>
      /\[(\*|\d+)\]/.test(await prompt.textContent()), 'a prompt', 5)
      .catch(() => false);
    if (taken) break;
    await editor.click();
  }
  await cell(page, n).locator('.jp-OutputArea-output', { hasText: output })
    .first().waitFor({ timeout: seconds(60) });
}

async function idle(page) {
  await page.locator('.jp-NotebookPanel:not(.lm-mod-hidden) '
    + '.jp-Notebook-ExecutionIndicator[data-status=idle]').first().waitFor();
}

const { context, page } = await browser('creator');
const mine = new URL(it.lab).host;
const problems = [];
page.on('pageerror', (e) => problems.push(`error: ${e.message}`));
page.on('response', (r) => {
  if (new URL(r.url()).host === mine && r.status() >= 400
      && r.headers()['x-aml-reason']) {
    problems.push(`${r.status()} ${r.headers()['x-aml-reason']} ${r.url()}`);
  }
});

await step('the address leads to a sign-in page', page, async () => {
  await page.goto(it.lab);
  must(page.url().startsWith(it.studio), page.url());
  await shot(page, 'sign-in');
});

await step('the creator signs in and is in JupyterLab', page, async () => {
  await signIn(page, 'creator', it.passwords.creator);
  await page.waitForURL((u) => u.host === mine);
  await page.locator('.jp-Launcher').first().waitFor();
  await shot(page, 'lab');
});

await step('the cookies are not for scripts', page, async () => {
  const seen = await page.evaluate(() => document.cookie);
  must(!seen.includes('__Host-aml'), seen);
  must(seen.includes('_xsrf'), 'Jupyter\'s own is');
  const all = (await context.cookies(it.lab))
    .filter((c) => c.name.startsWith('__Host-aml'));
  must(all.length > 0 && all.every((c) => c.secure && c.httpOnly), 'flags');
}, 'the creator signs in and is in JupyterLab');

await step('a notebook runs a cell and shows its output', page, async () => {
  await page.locator('.jp-LauncherCard[data-category=Notebook]').first()
    .click();
  await idle(page);
  await run(page, 0, 'answer = 6 * 7; print("the answer is", answer)',
    'the answer is 42');
  await shot(page, 'notebook');
}, 'the creator signs in and is in JupyterLab');

let name;
await step('the notebook is saved, and is on the disk', page, async () => {
  await page.keyboard.press('Control+s');
  await until(async () => {
    const dialog = page.locator('.jp-Dialog button.jp-mod-accept');
    if (await dialog.isVisible()) await dialog.click();
    return page.locator('.jp-mod-current.lm-TabBar-tab:not(.jp-mod-dirty)')
      .first().isVisible();
  }, 'saved');
  name = (await page.locator('.jp-mod-current .lm-TabBar-tabLabel')
    .filter({ hasText: '.ipynb' }).first().textContent()).trim();
  await until(async () =>
    (await ask('file', name)).includes('the answer is'), `${name} on disk`);
}, 'a notebook runs a cell and shows its output');

await step('a terminal answers', page, async () => {
  await page.getByRole('menuitem', { name: 'File', exact: true }).click();
  await page.getByText('New', { exact: true }).hover();
  await page.getByRole('menuitem', { name: 'Terminal' }).click();
  const terminal = page.locator('.jp-Terminal').first();
  await terminal.locator('.xterm-screen').waitFor();
  await terminal.click();
  await until(async () =>
    (await terminal.locator('.xterm-rows, .xterm-accessibility').count()) > 0
    || (await terminal.locator('canvas').count()) > 0, 'a screen');
  // What it shows is drawn; what it does is in the file.
  await page.keyboard.type('echo typed-$((40+2)) > from-terminal.txt\n');
  await until(async () =>
    (await ask('file', 'from-terminal.txt')).includes('typed-42'), 'the file');
  await shot(page, 'terminal');
});

await step('amld is killed: the kernel goes on', page, async () => {
  await page.locator('.lm-TabBar-tabLabel', { hasText: name }).first().click();
  await ask('kill amld');
  must((await ask('amld knows')) === 'Running', 'amld has adopted it');
  await run(page, 1, 'print("still", answer)', 'still 42');
}, 'a notebook runs a cell and shows its output');

await step('nginx is restarted: kernel and notebook are kept', page,
  async () => {
    // The lab tries again at times of its own choice; what is typed meanwhile
    // waits for it.
    await ask('restart nginx');
    await run(page, 2, 'print("and still", answer)', 'and still 42');
    await page.keyboard.press('Control+s');
    await until(async () =>
      (await ask('file', name)).includes('and still 42'), 'saved again');
    await shot(page, 'after-restarts');
  }, 'a notebook runs a cell and shows its output');

await step('reloaded, the notebook and its kernel are there', page,
  async () => {
    await page.reload();
    await page.locator('.jp-NotebookPanel').first().waitFor();
    await idle(page);
    await until(async () => (await page.locator('.jp-OutputArea-output',
      { hasText: 'and still 42' }).count()) > 0, 'the output');
  }, 'a notebook runs a cell and shows its output');

await step('Notebook 7 opens', page, async () => {
  const tree = await context.newPage();
  await tree.goto(it.tree);
  await tree.locator('.jp-DirListing-item', { hasText: name }).first()
    .waitFor();
  await shot(tree, 'tree');
  await tree.close();
});

await step('the studio page leads to the instance', page, async () => {
  const studio = await context.newPage();
  await studio.goto(it.studio + '/');
  await studio.locator(`a[href*="${mine}"]`).first().waitFor();
  await shot(studio, 'studio');
  await studio.close();
});

ok(problems.filter((p) => !/ 50[234] |registry|unreachable/.test(p)).length
  === 0, 'the gateway refused nothing of the creator\'s', problems.join('\n'));

// ---- the colleague ----

const other = await browser('colleague');
await step('a colleague of the same role is refused, politely', other.page,
  async () => {
    await other.page.goto(it.lab);
    await signIn(other.page, 'colleague', it.passwords.colleague);
    await other.page.getByRole('heading', { name: 'not yours' }).waitFor();
    must(new URL(other.page.url()).host === mine, other.page.url());
    const text = await other.page.locator('body').innerText();
    must(text.includes('not_creator'), text);
    must(!text.includes('creator@'), text);
    await shot(other.page, 'refusal');
  });
await step('and finally: signing in again changes nothing', other.page,
  async () => {
    await other.page.reload();
    await other.page.getByRole('heading', { name: 'not yours' }).waitFor();
  });
// Instances are same-site: what keeps a page of one from another is ours.
await step('a page of another instance can\'t use the session', page,
  async () => {
    const evil = await context.newPage();
    await evil.goto(it.other);
    await evil.locator('.jp-Launcher').first().waitFor();
    const before = await ask('refused', 'cross_origin');
    const result = await evil.evaluate(async (lab) => {
      const socket = await new Promise((done) => {
        const s = new WebSocket(lab.replace('https', 'wss')
          .replace('/lab', '/api/events/subscribe'));
        s.onopen = () => done('open');
        s.onerror = () => done('refused');
      });
      const post = await fetch(lab.replace('/lab', '/api/kernels'), {
        method: 'POST', credentials: 'include', mode: 'no-cors', body: '{}',
      }).then(() => 'sent', () => 'refused');
      const read = await fetch(lab, { credentials: 'include' })
        .then(() => 'read', () => 'refused');
      const image = await new Promise((done) => {
        const i = new Image();
        i.onload = () => done('shown');
        i.onerror = () => done('refused');
        i.src = lab.replace('/lab', '/static/favicons/favicon.ico');
      });
      return { socket, post, read, image };
    }, it.lab);
    must(result.socket === 'refused', 'a websocket was opened');
    must(result.read === 'refused', 'an answer was read');
    must(result.image === 'refused', 'an image was shown');
    const after = await until(async () => {
      const n = await ask('refused', 'cross_origin');
      return n >= before + 4 && n;
    }, 'four refusals in the log');
    must(after === before + 4, `${after - before} refusals`);
    await evil.close();
  });

await step('nor can it be framed', page, async () => {
  const evil = await context.newPage();
  await evil.goto(it.other);
  const before = await ask('refused', 'cross_origin');
  await evil.evaluate((lab) => {
    const f = document.createElement('iframe');
    f.src = lab;
    document.body.append(f);
  }, it.lab);
  await until(async () =>
    (await ask('refused', 'cross_origin')) > before, 'a refusal in the log');
  await evil.close();
});

await other.context.close();

// ---- signing out ----

await step('signing out ends it', page, async () => {
  const studio = await context.newPage();
  await studio.goto(it.studio + '/');
  await studio.locator('form[action*=sign-out] button').click();
  await studio.waitForURL((u) => u.pathname !== '/');
  await shot(studio, 'signed-out');
  const status = await page.evaluate(async () =>
    (await fetch('/api/status')).status);
  must(status === 401, `the lab's own script gets ${status}`);
  await studio.goto(it.lab);
  await studio.locator('input[type=password]').waitFor();
  await studio.goBack();
  const back = await page.evaluate(async () =>
    (await fetch('/api/status')).status);
  must(back === 401, 'going back does not sign in');
  await studio.close();
});

await context.close();
end();
