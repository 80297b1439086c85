// What a person does on the pages of an identity provider: the steps of
// t/lib/AML/Provider/*.pm, one after the other.

// Ends when all are done, or when the page has left the provider; `limit`, in
// milliseconds, is for each step.  Says on which page the last one was done.
export async function follow(page, origin, steps, limit) {
  const there = () => new URL(page.url()).origin === origin;
  const targetOf = (step) => page.locator(step.fill ?? step.click).first();
  const seen = (step) => targetOf(step).isVisible().catch(() => false);
  const later = async (n) => {
    for (const step of steps.slice(n + 1)) if (await seen(step)) return true;
    return false;
  };

  let last;
  for (const [n, step] of steps.entries()) {
    const target = targetOf(step);
    const end = Date.now() + limit;
    let skip = false;
    for (;;) {
      if (step.maybe && !there()) return last;
      if (await seen(step)) break;
      skip = step.maybe && await later(n);
      if (skip) break;
      if (Date.now() > end) {
        throw new Error(`not on ${page.url()}: ${step.fill ?? step.click}`);
      }
      await new Promise((r) => setTimeout(r, 50));
    }
    if (skip) continue;
    last = page.url();
    try {
      if (step.fill) await target.fill(step.with);
      else await target.click({ timeout: limit });
    } catch (e) {
      // what comes up only maybe may also go again
      if (!step.maybe) throw e;
    }
  }
  return last;
}
