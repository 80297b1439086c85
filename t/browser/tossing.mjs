// The browser's side of tossing.t.  Certificates are front_door.t's concern;
// here they are not checked.

import { browser, end, it, must, signIn, step } from './driver.mjs';

const { context, page } = await browser('tossing', { ignoreHTTPSErrors: true });

// The gateway's cookies at an address, as the browser would send them.
async function cookies(address) {
  const all = await context.cookies(address);
  return all.filter((c) => /__host-aml/i.test(`${c.name}=${c.value}`))
    .map((c) => `${c.domain} ${c.name}=${c.value}`).sort().join('\n');
}

const names = ['__Host-aml', '__Host-aml-browser', '__Host-aml-left'];
const tossed = [];
for (const name of names) {
  for (const domain of it.domains) {
    for (const more of ['; Path=/', '; Path=/auth/', '; Path=/; Secure']) {
      const rest = `=${it.theirs}; Domain=${domain}${more}`;
      tossed.push(`${name}${rest}`, `=${name}${rest}`, `${name}\t${rest}`,
        `${name.toLowerCase()}${rest}`);
    }
  }
}

await step('signing in, and on to two instances', page, async () => {
  await page.goto(`${it.studio}/`);
  await signIn(page, 'creator', it.password);
  await page.getByRole('heading', { name: 'Your compute instances' })
    .waitFor();
  for (const address of [it.own, it.evil]) {
    await page.goto(address);
    await page.getByText('A page').waitFor();
  }
});

for (const [how, toss] of Object.entries({
  script: () => page.evaluate((list) => {
    for (const cookie of list) document.cookie = cookie;
    document.cookie = 'seen=1; Path=/';
    return document.cookie;
  }, tossed),
  answer: async () => {
    for (const cookie of tossed) {
      await page.evaluate((url) => fetch(url),
        `${it.header}?Set-Cookie=${encodeURIComponent(cookie)}`);
    }
    return 'seen=1';
  },
})) {
  await step(`cookies thrown by ${how}`, page, async () => {
    const places = [`${it.studio}/auth/sessions`, it.own];
    const before = await Promise.all(places.map(cookies));
    must(before.every((c) => c.includes('__Host-aml=')), 'signed in');
    await page.goto(it.evil);
    must((await toss()).includes('seen=1'), 'cookies can be set at all');
    const after = await Promise.all(places.map(cookies));
    must(after.join() === before.join(), `${before}\n${after}`);

    await page.goto(`${it.studio}/auth/sessions`);
    await page.getByRole('heading', { name: 'Where you are signed in' })
      .waitFor();
    must(await page.getByText('creator').first().isVisible(), 'as oneself');
    await page.goto(it.own);
    await page.getByText('A page').waitFor();
  }, 'signing in, and on to two instances');
}

await step('nor is somebody signed in by them who was not', page, async () => {
  await context.clearCookies();
  await page.goto(it.evil);
  await signIn(page, 'creator', it.password);
  await page.getByText('A page').waitFor();
  await context.clearCookies({ domain: new URL(it.studio).hostname });
  await page.evaluate((list) => {
    for (const cookie of list) document.cookie = cookie;
  }, tossed);
  await page.goto(`${it.studio}/`);
  await page.getByLabel('Password').waitFor();
}, 'signing in, and on to two instances');

await context.close();
end();
