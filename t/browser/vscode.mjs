// The browser's side of t/applications/vscode.t.

import { ask, browser, end, it, must, seconds, shot, signIn, step, until }
  from './driver.mjs';

const { context, page } = await browser('vscode');
// It loads 20 MB of scripts.
const workbench = () => page.locator('.monaco-workbench .statusbar')
  .waitFor({ timeout: seconds(120) });

await step('signing in', page, async () => {
  await page.goto(`${it.studio}/`);
  await signIn(page, 'creator', it.password);
  await page.getByRole('button', { name: 'VS Code on first-lab' }).waitFor();
});

await step('the first request starts it, waits, and goes on', page,
  async () => {
    await page.goto(`${it.vscode}/`);
    await page.locator('[data-demand=Starting], .monaco-workbench').first()
      .waitFor();
    await shot(page, 'vscode-waits');
    await workbench();
    must(page.url().startsWith(`${it.vscode}/`), page.url());
    const trust = page.getByRole('button', { name: /Yes, I trust/ });
    await trust.click({ timeout: 15000 }).catch(() => {});
    await shot(page, 'vscode');
  });

const typed = async (text, file, wanted) => {
  for (let i = 0; i < 5; i++) {
    await page.locator('.terminal .xterm-helper-textarea').first()
      .focus();
    await page.keyboard.type(`${text}\n`);
    const there = await until(async () =>
      (await ask('file', file)).includes(wanted), file, 8).catch(() => false);
    if (there) return;
  }
  throw new Error(`no ${file}`);
};

await step('its terminal is the instance\'s', page, async () => {
  await until(async () => {
    await page.keyboard.press('Control+Shift+Backquote');
    return page.locator('.terminal.xterm').first()
      .waitFor({ timeout: seconds(10) }).then(() => true, () => false);
  }, 'a terminal', 60);
  await typed('echo typed-$((40+2)) > from-code.txt', 'from-code.txt',
    'typed-42');
  await shot(page, 'vscode-terminal');
}, 'the first request starts it, waits, and goes on');

await step('a file is opened, changed and saved', page, async () => {
  const found = page.locator('.quick-input-list .monaco-list-row')
    .filter({ hasText: 'from-code.txt' }).first();
  await until(async () => {
    await page.keyboard.press('Escape');
    await page.keyboard.press('Control+P');
    await page.keyboard.type('from-code.txt');
    return found.waitFor({ timeout: seconds(10) }).then(() => true, () => false);
  }, 'it is found', 60);
  await page.keyboard.press('Enter');
  const editor = page.locator('.editor-instance .view-lines');
  await editor.getByText('typed-42').waitFor();
  await editor.click();
  await page.keyboard.press('Control+End');
  await page.keyboard.type('written-in-the-editor');
  await page.keyboard.press('Control+S');
  await until(async () => (await ask('file', 'from-code.txt'))
    .includes('written-in-the-editor'), 'it is saved', 30);
  await shot(page, 'vscode-editor');
}, 'its terminal is the instance\'s');

await step('its own views work', page, async () => {
  // They need a service worker, which needs the gateway's help in nothing.
  must(await page.getByText('Error loading webview').count() === 0, 'they do');
}, 'the first request starts it, waits, and goes on');

await step('amld is killed: the terminal goes on', page, async () => {
  await ask('kill amld');
  await typed('echo still-$((40+3)) > still.txt', 'still.txt', 'still-43');
}, 'its terminal is the instance\'s');

await step('reloaded, it is there at once', page, async () => {
  await page.reload();
  await workbench();
}, 'the first request starts it, waits, and goes on');

await context.close();
end();
