// The browser's side of providers.t: the pages of each identity provider, in
// Chromium.  The client of the provider is here, too.

import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';

import { ask, browserOfMany, end, it, ok, seconds, shot } from './driver.mjs';
import { follow } from './steps.mjs';

const limit = seconds(20);

// Playwright's routes do not see redirects; the client is a server.
const client = createServer(
  { cert: readFileSync(it.cert), key: readFileSync(it.key) },
  (req, res) => res.end('<h1>client</h1>'),
);
await new Promise((done) => client.listen(0, '127.0.0.1', done));

const browser = await browserOfMany(
  `MAP client.localhost:443 127.0.0.1:${client.address().port}`);

async function at(page, address) {
  await page.waitForURL((url) => url.href.startsWith(address),
    { timeout: limit });
  return Object.fromEntries(new URL(page.url()).searchParams);
}

for (const provider of it.providers) {
  const { kind, origin, login, signOut, callback, goodbye } = provider;
  const context = await browser.newContext();
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
    await shot(page, `failed-${kind}`).catch(() => {});
  }
  await context.close();
}
await browser.close();
end();
