// The browser's side of on_demand.t.

import { ask, browser, end, it, must, shot, signIn, step, until }
  from './driver.mjs';

const { context, page } = await browser('demand', { ignoreHTTPSErrors: true });
const faults = [];
const watch = (p) => {
  p.on('pageerror', (e) => faults.push(`error: ${e.message}`));
  p.on('console', (m) => {
    // the network's errors are some steps' own doing
    if (m.type() === 'error' && !/Failed to load resource/.test(m.text())) {
      faults.push(`${m.text()} ${m.location().url}`);
    }
  });
  return p;
};
watch(page);

const waits = (p) => p.locator('[data-demand=Starting]').waitFor();
const goesOn = (p, query) => p.waitForURL(
  (u) => u.href === `${it.rstudio}/?q=${query}`)
  .then(() => p.locator('#rstudio').waitFor());

await step('signing in', page, async () => {
  await page.goto(`${it.studio}/`);
  await signIn(page, 'creator', it.password);
  await page.getByRole('button', { name: 'RStudio on first-lab' }).waitFor();
  await shot(page, 'on-demand-studio');
});

await step('a slow start: the page waits, shows how it goes, and goes on',
  page, async () => {
    await ask('let it', 'wait');
    await page.goto(`${it.rstudio}/?q=slow`);
    await waits(page);
    await page.getByText('rserver: starting').waitFor();
    await until(async () =>
      /[1-9]\d* of at most 60 seconds/.test(
        await page.getByRole('status').textContent()), 'seconds that go by');
    must(await page.locator('progress').isVisible(), 'a bar');
    must(!await page.getByRole('button').isVisible(), 'no button');
    await shot(page, 'on-demand-waits');
    await ask('let it', '');
    await goesOn(page, 'slow');
    must((await page.locator('#query').textContent()) === 'slow', 'the query');
    await shot(page, 'on-demand-there');
  });

await step('what runs is opened at once', page, async () => {
  const answer = await page.goto(`${it.rstudio}/?q=fast`);
  must(answer.request().redirectedFrom() === null, 'no detour');
});

await step('two tabs: one start, and both go on', page, async () => {
  await ask('restart');
  await ask('let it', 'wait');
  const before = await ask('asked for');
  const second = watch(await context.newPage());
  await Promise.all([page.goto(`${it.rstudio}/?q=one`),
    second.goto(`${it.rstudio}/?q=two`)]);
  await Promise.all([waits(page), waits(second)]);
  await ask('let it', '');
  await Promise.all([goesOn(page, 'one'), goesOn(second, 'two')]);
  must(await ask('asked for') === before + 1, 'one start');
  await second.close();
});

await step('one that fails says why, and can be tried again', page,
  async () => {
    await ask('restart');
    await ask('let it', 'fails');
    await page.goto(`${it.rstudio}/?q=again`);
    const alert = page.getByRole('alert');
    await alert.waitFor();
    const text = await alert.textContent();
    must(text.includes('ended before it was ready'), text);
    must(text.includes('<b>R</b> is not here'), 'its log, as text');
    await shot(page, 'on-demand-failed');
    await ask('let it', 'wait');
    await page.getByRole('button', { name: 'Try again' }).click();
    await waits(page);
    must(!await alert.isVisible(), 'what was before is gone');
    await ask('let it', '');
    await goesOn(page, 'again');
  });

await step('it survives that amld does not', page, async () => {
  await ask('restart');
  await ask('let it', 'wait');
  await page.goto(`${it.rstudio}/?q=kill`);
  await waits(page);
  await ask('kill amld');
  await ask('let it', '');
  await ask('run amld');
  await goesOn(page, 'kill');
});

await step('the studio\'s button starts it', page, async () => {
  await ask('restart');
  await page.goto(`${it.studio}/`);
  await page.getByRole('button', { name: 'RStudio on first-lab' }).click();
  await page.locator('#rstudio').waitFor();
  must(page.url() === `${it.rstudio}/`, page.url());
});

await step('a link of another instance starts nothing', page, async () => {
  await ask('restart');
  await page.goto(it.other);
  const other = page.url();
  await page.evaluate((to) => { location.href = to; }, `${it.rstudio}/?q=x`);
  await page.locator('[data-demand=NotStarted]').waitFor();
  must(new URL(other).host !== new URL(page.url()).host, page.url());
  await shot(page, 'on-demand-asks');
  must(await ask('state') === 'NotStarted', 'not by a link');

  await page.goto(it.other);
  const sent = await page.evaluate(async (to) => fetch(`${to}/.aml/start`, {
    method: 'POST', credentials: 'include', mode: 'no-cors',
  }).then(() => 'sent', () => 'refused'), it.rstudio);
  must(await ask('state') === 'NotStarted', `nor by a script: ${sent}`);

  await page.evaluate((to) => {
    const form = document.createElement('form');
    form.method = 'post';
    form.action = `${to}/.aml/start`;
    document.body.append(form);
    form.submit();
  }, it.rstudio);
  await page.waitForURL((u) => u.href.startsWith(it.rstudio));
  must(await ask('state') === 'NotStarted', 'nor by a form');
});

await step('its button does', page, async () => {
  await page.goto(it.other);
  await page.evaluate((to) => { location.href = to; }, `${it.rstudio}/?q=x`);
  await page.getByRole('button', { name: 'Start it' }).click();
  await goesOn(page, 'x');
});

await step('a page that was left open does not', page, async () => {
  await ask('restart');
  const status = await page.evaluate(async () =>
    (await fetch('/rpc/get_events', { method: 'POST' })).status);
  must(status === 503, `${status}`);
  must(await ask('state') === 'NotStarted', 'nothing was started');
});

await step('reloaded, it does', page, async () => {
  await page.reload();
  await goesOn(page, 'x');
});

await step('nothing broke the pages\' policy', page, async () => {
  must(faults.length === 0, faults.join('\n'));
});

await context.close();

// ---- without script ----

const plain = await browser('plain',
  { ignoreHTTPSErrors: true, javaScriptEnabled: false });
await step('without script there is a button, and the page asks again',
  plain.page, async () => {
    await ask('restart');
    await ask('let it', 'wait');
    await plain.page.goto(`${it.rstudio}/?q=plain`);
    await signIn(plain.page, 'creator', it.password);
    await plain.page.getByRole('button', { name: 'Start it' }).click();
    await waits(plain.page);
    await ask('let it', '');
    await goesOn(plain.page, 'plain');
  });
await plain.context.close();

end();
