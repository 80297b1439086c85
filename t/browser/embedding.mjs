// The browser's side of embedding.t.  Certificates are front_door.t's concern;
// here they are not checked.

import { browser, end, it, must, signIn, step, until } from './driver.mjs';

const { context, page } =
  await browser('frames', { ignoreHTTPSErrors: true });

// What is seen in the frame of a page, when the browser has decided.
async function framed(address) {
  await page.goto(address);
  const frame = await until(() => page.frames()[1], 'a frame');
  await frame.waitForLoadState();
  return { url: frame.url(), text: await frame.locator('body').innerText() };
}

// The browser puts a page of its own in the place of what it must not show.
const refusedByBrowser = (seen) =>
  seen.url.startsWith('chrome-error:') || !seen.text.includes('A page');

await step('signing in', page, async () => {
  await page.goto(`${it.studio}/`);
  await signIn(page, 'creator', it.password);
  await page.getByRole('heading', { name: 'Your compute instances' })
    .waitFor();
});

await step('a portal shows nothing of an instance not opened before', page,
  async () => {
    const seen = await framed(it.portal);
    must(refusedByBrowser(seen), `${seen.url}: ${seen.text}`);
    await page.goto(it.own);
    await page.getByText('A page').waitFor();
  }, 'signing in');

await step('a portal shows one that was', page, async () => {
  const seen = await framed(it.portal);
  must(seen.url === it.own, seen.url);
  must(seen.text.includes('A page'), seen.text);
}, 'signing in');

await step('an instance shows itself', page, async () => {
  const seen = await framed(`${it.own}?of=${encodeURIComponent(it.own)}`);
  must(seen.text.includes('A page'), seen.text);
}, 'signing in');

await step('another instance does not', page, async () => {
  const seen = await framed(`${it.other}?of=${encodeURIComponent(it.own)}`);
  must(refusedByBrowser(seen), `${seen.url}: ${seen.text}`);
}, 'signing in');

await step('nobody shows the studio', page, async () => {
  const studio = encodeURIComponent(`${it.studio}/`);
  const seen = await framed(`${it.own}?of=${studio}`);
  must(!seen.text.includes('compute instances'), `${seen.url}: ${seen.text}`);
}, 'signing in');

await context.close();
end();
