// What the browser's sides of all tests here have in common.  They are started
// by AML::Chromium, which gives them `it`; they say one JSON object a line:
// results, and what the gateway's side is to do; the answers are their input.

import { createInterface } from 'node:readline';
import { chromium } from 'playwright-core';

export const it = JSON.parse(process.env.AML_BROWSER);
export const seconds = (n) => n * 1000 * it.patience;
export const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');

const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

export async function ask(what, argument) {
  say({ do: what, with: argument });
  return JSON.parse((await lines.next()).value).answer;
}

// To be called last.
export function end() {
  say({ end: 1 });
  process.exit(0);
}

export function ok(value, name, why) {
  say({ ok: value ? 1 : 0, name, why });
  return value;
}

export function must(value, what) {
  if (!value) throw new Error(what);
}

export const shot = (page, name) =>
  page.screenshot({ path: `${it.shots}/${name}.png` });

// A step whose failure is said, with a picture, and does not end the others;
// but those that need it are not tried.
const failed = new Set();
export async function step(name, page, body, needs) {
  if (needs && failed.has(needs)) {
    failed.add(name);
    ok(false, name, `not tried: needs "${needs}"`);
    return;
  }
  try {
    await body();
    ok(true, name);
  } catch (e) {
    failed.add(name);
    ok(false, name, String(e.stack || e).slice(0, 2000));
    await shot(page, `failed-${name.replace(/\W+/g, '-')}`).catch(() => {});
  }
}

export async function until(condition, what, limit = 30) {
  const last = Date.now() + seconds(limit);
  for (;;) {
    const value = await condition();
    if (value) return value;
    if (Date.now() > last) throw new Error(`not in time: ${what}`);
    await new Promise((r) => setTimeout(r, 100));
  }
}

// On the studio's page for that.
export async function signIn(page, name, password) {
  await page.getByLabel('Name').fill(name);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

const executable = {
  executablePath: '/usr/bin/chromium',
  headless: true,
  args: ['--no-sandbox', '--disable-gpu', '--disable-quic', '--no-first-run',
    '--disable-background-networking', '--disable-component-update',
    '--disable-sync', '--disable-dev-shm-usage'],
};

function patient(context) {
  context.setDefaultTimeout(seconds(45));
  context.setDefaultNavigationTimeout(seconds(60));
  return context;
}

// A person's browser with an empty profile.  Certificates are checked unless
// `ignoreHTTPSErrors` is among the options.
export async function browser(name, options = {}) {
  const context = patient(await chromium.launchPersistentContext(
    `${it.profile}-${name}`,
    { ...executable, viewport: { width: 1280, height: 800 }, ...options },
  ));
  const page = context.pages()[0] ?? await context.newPage();
  return { context, page };
}

// One browser for many, each with cookies of its own and unchecked
// certificates; `resolver` as Chromium's --host-resolver-rules.
export async function browserOfMany(resolver) {
  const one = await chromium.launch({
    ...executable,
    args: [...executable.args, ...resolver
      ? [`--host-resolver-rules=${resolver}`] : []],
  });
  return {
    close: () => one.close(),
    newContext: async () =>
      patient(await one.newContext({ ignoreHTTPSErrors: true })),
  };
}
