// The browser's side of studio.t.  Certificates are front_door.t's concern;
// here they are not checked.

import { browser, end, it, must, signIn, step } from './driver.mjs';

async function enter(page) {
  await page.goto(`${it.studio}/`);
  await signIn(page, 'creator', it.password);
  await page.getByRole('heading', { name: 'Your compute instances' })
    .waitFor();
}

const { context, page } = await browser('script', { ignoreHTTPSErrors: true });
const faults = [];
page.on('pageerror', (e) => faults.push(`error: ${e.message}`));
page.on('console', (m) => {
  if (m.type() === 'error') faults.push(`${m.text()} ${m.location().url}`);
});

const row = page.locator('[data-id]');
const state = (name) =>
  page.locator(`[data-state=${name}]`).first().waitFor();

await step('signing in leads to the studio page', page, () => enter(page));

await step('it lists one\'s own instances only', page, async () => {
  must(await row.count() === 1, `${await row.count()} rows`);
  must((await row.textContent()).includes('first-lab'), 'first-lab');
});

await step('the style sheet and its colours are there', page, async () => {
  const border = await row.evaluate((e) => getComputedStyle(e).borderRadius);
  must(border !== '0px', border);
});

await step('a stop button stops it', page, async () => {
  await page.getByRole('button', { name: 'Stop first-lab' }).click();
  await state('Stopped');
  must(!await page.getByRole('link', { name: /JupyterLab/ }).isVisible(),
    'no link to what does not run');
});

await step('a start button starts it', page, async () => {
  await page.getByRole('button', { name: 'Start first-lab' }).click();
  await state('Running');
  await page.getByRole('link', { name: /JupyterLab/ }).waitFor();
});

await step('nothing broke the page\'s policy', page, async () => {
  must(faults.length === 0, faults.join('\n'));
});

await step('signing out shows that one is signed out, and stays', page,
  async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
    await page.goto(`${it.studio}/`);
    await page.getByLabel('Password').waitFor();
  });
await context.close();

const plain = await browser('plain',
  { ignoreHTTPSErrors: true, javaScriptEnabled: false });
const still = plain.page;
await step('signing in needs no script', still, async () => {
  await enter(still);
  must(await still.getByRole('link', { name: /JupyterLab/ }).isVisible(),
    'links are there');
  await still.getByRole('button', { name: 'Sign out' }).click();
  await still.getByRole('heading', { name: 'You are signed out' }).waitFor();
});
await plain.context.close();

end();
