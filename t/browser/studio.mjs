// The browser's side of studio.t.  Says one JSON object a line.

import { chromium } from 'playwright-core';

const it = JSON.parse(process.env.AML_BROWSER);
const seconds = (n) => n * 1000 * it.patience;
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');

async function step(name, body) {
  try {
    await body();
    say({ ok: 1, name });
  } catch (e) {
    say({ ok: 0, name, why: String(e.stack || e).slice(0, 2000) });
  }
}

function must(value, what) {
  if (!value) throw new Error(what);
}

async function browser(name, options) {
  const context = await chromium.launchPersistentContext(
    `${it.profile}-${name}`, {
      executablePath: '/usr/bin/chromium',
      headless: true,
      ignoreHTTPSErrors: true,
      args: ['--no-sandbox', '--disable-gpu', '--disable-quic',
        '--no-first-run', '--disable-background-networking',
        '--disable-component-update', '--disable-sync',
        '--disable-dev-shm-usage'],
      ...options,
    });
  context.setDefaultTimeout(seconds(45));
  return context;
}

async function signIn(page) {
  await page.goto(`${it.studio}/`);
  await page.getByLabel('Name').fill('creator');
  await page.getByLabel('Password').fill(it.password);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.getByRole('heading', { name: 'Your compute instances' })
    .waitFor();
}

const context = await browser('script', {});
const page = context.pages()[0] ?? await context.newPage();
const faults = [];
page.on('pageerror', (e) => faults.push(`error: ${e.message}`));
page.on('console', (m) => {
  if (m.type() === 'error') faults.push(`${m.text()} ${m.location().url}`);
});

const row = page.locator('[data-id]');
const state = (name) =>
  page.locator(`[data-state=${name}]`).first().waitFor();

await step('signing in leads to the studio page', () => signIn(page));

await step('it lists one\'s own instances only', async () => {
  must(await row.count() === 1, `${await row.count()} rows`);
  must((await row.textContent()).includes('first-lab'), 'first-lab');
});

await step('the style sheet and its colours are there', async () => {
  const border = await row.evaluate((e) => getComputedStyle(e).borderRadius);
  must(border !== '0px', border);
});

await step('a stop button stops it', async () => {
  await page.getByRole('button', { name: 'Stop first-lab' }).click();
  await state('Stopped');
  must(!await page.getByRole('link', { name: /JupyterLab/ }).isVisible(),
    'no link to what does not run');
});

await step('a start button starts it', async () => {
  await page.getByRole('button', { name: 'Start first-lab' }).click();
  await state('Running');
  await page.getByRole('link', { name: /JupyterLab/ }).waitFor();
});

await step('nothing broke the page\'s policy', async () => {
  must(faults.length === 0, faults.join('\n'));
});

await step('signing out shows that one is signed out, and stays', async () => {
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('heading', { name: 'You are signed out' }).waitFor();
  await page.goto(`${it.studio}/`);
  await page.getByLabel('Password').waitFor();
});
await context.close();

const plain = await browser('plain', { javaScriptEnabled: false });
await step('signing in needs no script', async () => {
  const still = plain.pages()[0] ?? await plain.newPage();
  await signIn(still);
  must(await still.getByRole('link', { name: /JupyterLab/ }).isVisible(),
    'links are there');
  await still.getByRole('button', { name: 'Sign out' }).click();
  await still.getByRole('heading', { name: 'You are signed out' }).waitFor();
});
await plain.close();

say({ end: 1 });
