// The browser's side of providers.t: the pages of each identity provider, in
// Chromium.  The client of the provider is here, too.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import { chromium } from 'playwright-core';
import { createInterface } from 'node:readline';

import { follow } from './steps.mjs';

const it = JSON.parse(process.env.AML_BROWSER);
const limit = 20000 * it.patience;
const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');
const ok = (value, name, why) => say({ ok: value ? 1 : 0, name, why });
const lines = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function ask(what, argument) {
  say({ do: what, with: argument });
  return JSON.parse((await lines.next()).value).answer;
}

// Playwright's routes do not see redirects; the client is a server.
const client = createServer(
  { cert: readFileSync(it.cert), key: readFileSync(it.key) },
  (req, res) => res.end('<h1>client</h1>'),
);
await new Promise((done) => client.listen(0, '127.0.0.1', done));

const browser = await chromium.launch({
  executablePath: '/usr/bin/chromium',
  args: [`--host-resolver-rules=MAP client.localhost:443 127.0.0.1:${
    client.address().port}`, '--no-sandbox', '--disable-gpu', '--disable-quic',
    '--disable-background-networking', '--disable-dev-shm-usage'],
});

async function at(page, address) {
  await page.waitForURL((url) => url.href.startsWith(address),
    { timeout: limit });
  return Object.fromEntries(new URL(page.url()).searchParams);
}

for (const provider of it.providers) {
  const { kind, origin, login, signOut, callback, goodbye } = provider;
  const context = await browser.newContext({ ignoreHTTPSErrors: true });
  const page = await context.newPage();
  page.setDefaultTimeout(limit);
  try {
    await page.goto(await ask('start', kind));
    await follow(page, origin, login, limit);
    const first = await at(page, callback);
    ok(first.code, `${kind}: signing in leads back with a code`);
    ok(await ask('finish', { kind, ...first }), `${kind}: which is good`);

    await page.goto(await ask('start', kind));
    await follow(page, origin, login.filter((s) => s.maybe), limit);
    const second = await at(page, callback);
    ok(second.code && second.code !== first.code,
      `${kind}: a second time without a password`);
    const hint = await ask('finish', { kind, ...second });

    await page.goto(await ask('end', { kind, hint }));
    await follow(page, origin, signOut, limit);
    ok((await at(page, goodbye)).state === 'farewell',
      `${kind}: signing out leads back`);

    await page.goto(await ask('start', kind));
    await page.locator(login[0].fill).waitFor();
    ok(true, `${kind}: and then there is the page for signing in`);
  } catch (e) {
    ok(false, kind, String(e.stack || e).slice(0, 2000));
    await page.screenshot({ path: `${it.shots}/failed-${kind}.png` })
      .catch(() => {});
  }
  await context.close();
}
await browser.close();
say({ end: 1 });
process.exit(0);
