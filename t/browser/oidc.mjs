// The browser's side of oidc.t: what people do, at each provider.
// Certificates are front_door.t's concern; here they are not checked.

import { ask, browserOfMany, end, it, must, seconds, shot, step, until }
  from './driver.mjs';
import { follow } from './steps.mjs';

const limit = seconds(30);
const browser = await browserOfMany();

// A person with an empty profile: pages, each another tab.
async function person() {
  const context = await browser.newContext();
  return {
    tab: () => context.newPage(),
    leave: () => context.close(),
    cookies: (url) => context.cookies(url),
  };
}

const way = (page, idp) =>
  page.getByRole('link', { name: `Sign in at ${idp.kind}` });
const password = (page, idp) =>
  page.locator(idp.steps.find((s) => s.fill?.includes('password')).fill);
const at = (page, address) =>
  page.waitForURL((u) => u.href === address, { timeout: limit });
const heading = (page, name) => page.getByRole('heading', { name });
const reason = (page, code) =>
  page.locator('code', { hasText: new RegExp(`^${code}$`) });

async function refused(page) {
  await heading(page, 'The identity provider did not sign you in').waitFor();
  await reason(page, 'provider_refused').waitFor();
  await reason(page, 'access_denied').waitFor();
}

// The provider's pages, until one is where one wanted to go.  Of two first tabs
// one may be sent there again, where the person is known then.
async function through(page, idp, address) {
  let from = await follow(page, idp.origin, idp.steps, limit);
  for (;;) {
    await page.waitForURL((u) => u.href !== from, { timeout: limit });
    if (new URL(page.url()).origin !== idp.origin) break;
    from = await follow(page, idp.origin, idp.steps.filter((s) => s.maybe),
      limit);
  }
  await at(page, address);
}

// From an address of the gateway to the provider.
async function toProvider(page, idp, address) {
  await page.goto(address);
  await way(page, idp).click();
  await page.waitForURL((u) => u.origin === idp.origin, { timeout: limit });
}

async function enter(page, idp, address) {
  await toProvider(page, idp, address);
  await through(page, idp, address);
}

// What the application, or the gateway before it, says to a page's script.
const answer = (page) => page.evaluate(async () => {
  const r = await fetch('/stand-in/status/207');
  return `${r.status} ${r.headers.get('X-AML-Reason') ?? ''}`.trim();
});

async function works(page, address) {
  must(page.url() === address, page.url());
  await page.getByText('A page').waitFor();
  const got = await answer(page);
  must(got === '207', got);
}

// In another tab, where the provider has a page for that; when it was done.
async function signOutThere(me, idp) {
  if (!idp.signOutPage) {
    await ask('end sessions', idp.kind);
    return Date.now();
  }
  const tab = await me.tab();
  await tab.goto(idp.signOutPage);
  await follow(tab, idp.origin, idp.signOut, limit);
  await heading(tab, 'You are signed out').waitFor();
  const now = Date.now();
  await tab.close();
  return now;
}

// As it is seen on a desk, on a telephone, and in the dark.
async function looks(page, name) {
  for (const colorScheme of ['light', 'dark']) {
    for (const width of [1280, 400]) {
      await page.emulateMedia({ colorScheme });
      await page.setViewportSize({ width, height: 800 });
      must(await page.evaluate(() => document.documentElement.scrollWidth
        <= window.innerWidth), `${name} is wider than ${width}`);
      await shot(page, `oidc-${name}-${colorScheme}-${width}`);
    }
  }
}

const stranger = await person();
const door = await stranger.tab();
await step('the sign-in page has a button for each, and local accounts', door,
  async () => {
    await door.goto(`${it.studio}/auth/tokens`);
    for (const idp of it.providers) await way(door, idp).waitFor();
    await door.getByLabel('Password').waitFor();
    await door.getByRole('heading', { name: 'With a name' }).waitFor();
    await looks(door, 'sign-in');
  });

for (const idp of it.providers) {
  const of = (text) => `${idp.kind}: ${text}`;
  const asked = `${idp.lab}/stand-in/page?x=%2Fa%26b&y=%C3%A9`;
  const me = await person();
  const page = await me.tab();

  await step(of('an instance\'s address leads to the sign-in page'), page,
    async () => {
      await page.goto(asked);
      must(page.url().startsWith(`${it.studio}/auth/sign-in`), page.url());
      await way(page, idp).waitFor();
    });

  await step(of('signing in there leads back to the page'), page, async () => {
    await way(page, idp).click();
    await page.waitForURL((u) => u.origin === idp.origin);
    await through(page, idp, asked);
    await works(page, asked);
    const cookies = await me.cookies(it.studio);
    must(cookies.length > 0 && cookies.every((c) => c.secure && c.httpOnly),
      'cookies for no script');
  }, of('an instance\'s address leads to the sign-in page'));
  const signedIn = of('signing in there leads back to the page');

  await step(of('who goes back there and signs in again is led on'), page,
    async () => {
      await page.goBack();
      await page.waitForURL((u) => u.origin === idp.origin);
      if (idp.repeats) {
        await follow(page, idp.origin, idp.steps.filter((s) => s.maybe),
          limit);
        await heading(page, 'This sign-in is over').waitFor();
        await page.getByRole('link', { name: 'Go on' }).click();
      } else {
        await page.goForward();
      }
      await at(page, asked);
      await works(page, asked);
    }, signedIn);

  const two = await person();
  const [first, second] = [await two.tab(), await two.tab()];
  await step(of('two tabs at once'), second, async () => {
    const other = `${it.studio}/auth/tokens`;
    // neither has a cookie yet
    await Promise.all([
      toProvider(first, idp, asked), toProvider(second, idp, other)]);
    await through(second, idp, other);
    await heading(second, 'Personal access tokens').waitFor();
    await through(first, idp, asked);
    await works(first, asked);
    await second.reload();
    await heading(second, 'Personal access tokens').waitFor();
  });
  await two.leave();

  await step(of('other keys are noticed by nobody'), page, async () => {
    await ask('rotate', idp.kind);
    await page.reload();
    await works(page, asked);
    const late = await person();
    const tab = await late.tab();
    await enter(tab, idp, asked);
    await works(tab, asked);
    await late.leave();
  }, signedIn);

  await step(of('an outage'), page, async () => {
    must(await ask('outage', { kind: idp.kind, on: 1 }), 'it is noticed');
    await page.reload();
    await works(page, asked);
    const late = await person();
    const tab = await late.tab();
    await tab.goto(asked);
    await way(tab, idp).click();
    await heading(tab, 'The identity provider does not answer').waitFor();
    await reason(tab, 'provider_unreachable').waitFor();
    await looks(tab, `outage-${idp.kind}`);
    await page.goto(`${it.studio}/`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await heading(page, 'You are signed out').waitFor();
    must(new URL(page.url()).pathname === '/auth/signed-out', page.url());
    must(await ask('outage', { kind: idp.kind, on: 0 }), 'it is back');
    await tab.getByRole('link', { name: 'Try again' }).click();
    await way(tab, idp).click();
    await through(tab, idp, asked);
    await works(tab, asked);
    await late.leave();
    // the provider knows nothing of that sign-out
    await toProvider(page, idp, `${it.studio}/`);
    await password(page, idp).waitFor();
    await through(page, idp, `${it.studio}/`);
  }, signedIn);

  await step(of('signing out here is signing out there'), page, async () => {
    await page.goto(`${it.studio}/`);
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.waitForURL((u) => u.origin === idp.origin);
    await follow(page, idp.origin, idp.signOut, limit);
    await heading(page, 'You are signed out').waitFor();
    must(new URL(page.url()).pathname === '/auth/signed-out', page.url());
    await page.reload();
    await heading(page, 'You are signed out').waitFor();
    await page.getByRole('link', { name: 'Sign in again' }).click();
    await way(page, idp).click();
    await password(page, idp).waitFor();
    must(new URL(page.url()).origin === idp.origin, page.url());
    await through(page, idp, `${it.studio}/`);
  }, signedIn);

  await step(of('who stops half-way is asked for the password, too'), page,
    async () => {
      await page.goto(`${it.studio}/`);
      await page.getByRole('button', { name: 'Sign out' }).click();
      await page.waitForURL((u) => u.origin === idp.origin);
      await toProvider(page, idp, asked);
      await password(page, idp).waitFor();
      await through(page, idp, asked);
      await works(page, asked);
    }, of('signing out here is signing out there'));

  await step(of('signing out there is signing out here'), page, async () => {
    await page.goto(asked);
    await page.evaluate(() => new Promise((opened, failed) => {
      const socket = new WebSocket(`wss://${window.location.host}/ws`);
      window.ended = new Promise((done) => {
        socket.onclose = (e) => done({
          code: e.code, reason: e.reason, at: Date.now(),
        });
      });
      socket.onopen = () => socket.send('x');
      socket.onmessage = () => opened();
      socket.onerror = failed;
    }));
    const since = await signOutThere(me, idp);
    const ended = await page.evaluate(() => window.ended);
    must(ended.code === 1008 && ended.reason === 'session_unknown',
      `${ended.code} ${ended.reason}`);
    must(ended.at - since < seconds(1), `${ended.at - since} ms`);
    must((await answer(page)) === '401 session_unknown', await answer(page));
    await page.reload();
    await way(page, idp).waitFor();
  }, of('signing out here is signing out there'));
  await me.leave();

  if (idp.cancels) {
    const other = await person();
    const tab = await other.tab();
    await step(of('who cancels is told so, and can try again'), tab,
      async () => {
        await toProvider(tab, idp, asked);
        await tab.locator('#cancel').click();
        await refused(tab);
        await looks(tab, `refused-${idp.kind}`);
        // and on the page after that, which asks for consent
        await tab.getByRole('link', { name: 'Try again' }).click();
        await way(tab, idp).click();
        await follow(tab, idp.origin, idp.steps.filter((s) => !s.maybe),
          limit);
        await tab.locator('#allow').waitFor();
        await tab.locator('#cancel').click();
        await refused(tab);
        await tab.getByRole('link', { name: 'Try again' }).click();
        await way(tab, idp).click();
        await tab.locator('#allow').click();
        await at(tab, asked);
        await works(tab, asked);
      });
    await other.leave();
  }
}

await step('without local accounts there is no form for them', door,
  async () => {
    await ask('configure', { local: 0 });
    await door.goto(`${it.studio}/auth/tokens`);
    for (const idp of it.providers) await way(door, idp).waitFor();
    must(await door.locator('input').count() === 0, 'fields');
    await looks(door, 'no-local');
  });

const [only] = it.providers;
await step('with one provider there is no page before its own', door,
  async () => {
    await ask('configure', { local: 0, only: only.kind });
    const other = await stranger.tab();
    const pages = [`${it.studio}/auth/tokens`, `${it.studio}/auth/sessions`];
    await Promise.all([door.goto(pages[0]), other.goto(pages[1])]);
    must(new URL(door.url()).origin === only.origin, door.url());
    await through(door, only, pages[0]);
    await through(other, only, pages[1]);
  });

await step('where signing out is no signing in, either', door, async () => {
  await door.getByRole('button', { name: 'Sign out' }).click();
  await door.waitForURL((u) => u.origin === only.origin);
  await follow(door, only.origin, only.signOut, limit);
  await heading(door, 'You are signed out').waitFor();
  await looks(door, 'signed-out');
  await door.reload();
  await heading(door, 'You are signed out').waitFor();
  await door.getByRole('link', { name: 'Sign in again' }).click();
  await password(door, only).waitFor();
  must(new URL(door.url()).origin === only.origin, door.url());
}, 'with one provider there is no page before its own');

await browser.close();
end();
