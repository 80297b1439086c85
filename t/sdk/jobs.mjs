// The client's side of jobs.t: what people do with jobs, and every error that
// docs/jobs.md has and a client can cause.

import { AzureMachineLearningWorkspaces } from '@azure/arm-machinelearning';
import { Password, all, fails, is, it, say, step } from './common.mjs';

const W = it.workspace;
const [G, D] = [it.group, W.split('/').pop()];

const client = (account) => new AzureMachineLearningWorkspaces(
  new Password(account), it.subscription,
  { $host: it.endpoint, endpoint: it.endpoint });
const [creator, colleague, reader] =
  ['creator', 'colleague', 'reader'].map((name) => client(name));
const { jobs } = creator;
const soon = { updateIntervalInMs: 50 };

const body = (command, more = {}) => ({
  properties: {
    jobType: 'Command', computeId: `${W}/computes/first-lab`,
    environmentId: 'instance', command, ...more,
  },
});
const put = (id, command, more, who = creator) =>
  who.jobs.createOrUpdate(G, D, id, body(command, more));
const get = (id, who = creator) => who.jobs.get(G, D, id);

async function until(id, status) {
  for (;;) {
    const job = await get(id);
    if (job.properties.status === status) return job;
    if (/^(Completed|Failed|Canceled)$/.test(job.properties.status)) {
      throw new Error(`${id} is ${job.properties.status}: ` +
        job.properties.properties.Message);
    }
    await new Promise((done) => setTimeout(done, 50));
  }
}

const tokens = {};

// What this client has no call for, or would not let out.
async function raw(method, path, { as = 'creator', json, headers } = {}) {
  tokens[as] ??= (await new Password(as).getToken()).token;
  const url = new URL(it.endpoint + path);
  url.searchParams.set('api-version', '2022-10-01');
  const answer = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${tokens[as]}`,
      'content-type': 'application/json',
      ...headers,
    },
    body: json === undefined ? undefined : JSON.stringify(json),
  });
  return { status: answer.status, headers: answer.headers,
    text: await answer.text() };
}

async function refused(answer, status, code) {
  const a = await answer;
  const error = JSON.parse(a.text).error;
  is(`${a.status} ${error.code}`, `${status} ${code}`, error.message);
  say({ met: code });
}

if (it.phase === 'many') {
  await step('100,000 in the history', async () => {
    const seen = [];
    let slowest = 0;
    let from = Date.now();
    for await (const page of jobs.list(G, D).byPage()) {
      slowest = Math.max(slowest, Date.now() - from);
      seen.push(...page.map((job) => job.name));
      if (seen.length >= 600) break;
      from = Date.now();
    }
    is(new Set(seen).size, 600, 'pages, no job twice');
    is([...seen].sort().reverse().join(), seen.join(), 'newest first');
    if (slowest > it.patience * 1000) {
      throw new Error(`a page took ${slowest} ms`);
    }
  });

  await step('far back in it', async () => {
    const from = Date.now();
    let page = [];
    let pages = 0;
    // ten thousand are left out at a time
    for await (page of jobs.list(G, D, { skip: '99990' }).byPage()) {
      if (++pages > 10 || page.length > 0) break;
    }
    if (page.length < 10) throw new Error(`${page.length} jobs`);
    if (pages !== 10) throw new Error(`on page ${pages}`);
    if (Date.now() - from > it.patience * 2000) {
      throw new Error(`took ${Date.now() - from} ms`);
    }
  });

  await step('and one more is submitted, and runs', async () => {
    await put('one-more', 'true');
    await until('one-more', 'Completed');
    is((await jobs.list(G, D).next()).value.name, 'one-more', 'the newest');
  });

  say({ end: 1 });
  process.exit(0);
}

await step('submit, and how it goes', async () => {
  const made = await put('train-1',
    'echo "it\'s $A"; echo second; exit 3', {
      environmentVariables: { A: 'x "y"\nz' }, displayName: 'Train',
      experimentName: 'e', tags: { team: 'blue' },
      limits: { jobLimitsType: 'Command', timeout: 'PT5M' },
      resources: { instanceCount: 1 },
    });
  is(made.properties.jobType, 'Command', 'jobType');
  is(made.properties.displayName, 'Train', 'displayName');
  is(JSON.stringify(made.properties.services), '{}', 'services');
  is(made.systemData.createdBy, 'creator', 'createdBy');
  const job = await until('train-1', 'Failed');
  is(job.properties.properties.ExitCode, '3', 'exit code');
  for (const time of ['SubmitTimeUtc', 'StartTimeUtc', 'EndTimeUtc']) {
    if (!(new Date(job.properties.properties[time]) > new Date('2026-01-01'))) {
      throw new Error(`${time} is ${job.properties.properties[time]}`);
    }
  }
  const log = await raw('GET', `${W}/jobs/train-1/logs`);
  is(log.text, 'it\'s x "y"\nz\nsecond\n', 'log');
  const part = await raw('GET', `${W}/jobs/train-1/logs`,
    { headers: { range: 'bytes=-7' } });
  is(`${part.status} ${part.text}`, '206 second\n', 'a range of it');
});

await step('submitted twice, and archived', async () => {
  const again = await get('train-1');
  again.properties.isArchived = true;
  again.properties.tags = { team: 'red' };
  const changed = await jobs.createOrUpdate(G, D, 'train-1', again);
  is(changed.properties.isArchived, true, 'what was got is sent back');
  is(changed.properties.tags.team, 'red', 'with another tag');
  await fails(put('train-1', 'true'), 400, 'PropertyChangeNotAllowed');
  is((await all(jobs.list(G, D, { listViewType: 'ArchivedOnly' })))
    .map((job) => job.name).join(), 'train-1', 'a list of these');
  is((await all(jobs.list(G, D))).length, 0, 'which others leave out');
});

await step('a list, page by page', async () => {
  for (let i = 0; i < 35; i++) {
    await put(`many-${String(i).padStart(2, '0')}`, 'true',
      i < 3 ? { tags: { 'few & rare': '' } } : {});
  }
  const names = (await all(jobs.list(G, D))).map((job) => job.name);
  is(names.length, 35, 'all of them');
  is(names.join(), [...names].sort().reverse().join(), 'newest first');
  const pages = [];
  for await (const page of jobs.list(G, D).byPage()) pages.push(page.length);
  is(pages.join(), '30,5', 'pages');
  is((await all(jobs.list(G, D, { tag: 'few & rare' }))).length, 3, 'by tag');
  is((await all(jobs.list(G, D, { jobType: 'Sweep' }))).length, 0, 'by type');
  is((await all(jobs.list(G, D, { listViewType: 'All' }))).length, 36, 'all');
});

await step('cancel what runs, and what waits', async () => {
  await put('long', 'echo started; sleep 1000');
  await until('long', 'Running');
  is((await creator.computeOperations.get(G, D, 'first-lab'))
    .properties.properties.state, 'JobRunning', 'the instance');
  await jobs.beginCancelAndWait(G, D, 'long', soon);
  is((await get('long')).properties.status, 'Canceled', 'it has ended');
  await jobs.beginCancelAndWait(G, D, 'long', soon);
  await creator.computeOperations.beginStopAndWait(G, D, 'first-lab', soon);
  await put('waits', 'true');
  is((await get('waits')).properties.status, 'Queued', 'of what is stopped');
  await fails(jobs.beginDeleteAndWait(G, D, 'waits', soon), 409, 'Conflict');
  await jobs.beginCancelAndWait(G, D, 'waits', soon);
  is((await get('waits')).properties.status, 'Canceled', 'that too');
  await creator.computeOperations.beginStartAndWait(G, D, 'first-lab', soon);
});

await step('delete', async () => {
  await jobs.beginDeleteAndWait(G, D, 'waits', soon);
  await fails(get('waits'), 404, 'ResourceNotFound');
  await jobs.beginDeleteAndWait(G, D, 'waits', soon);
});

await step('others', async () => {
  const seen = await get('train-1', reader);
  is(seen.properties.status, 'Failed', 'a reader sees how it went');
  is(seen.properties.command ?? null, null, 'but not what');
  await fails(put('theirs', 'true', {}, reader), 403, 'action_denied');
  await fails(put('theirs', 'true', {}, colleague), 403, 'OwnerOnly');
  await fails(put('train-1', 'true', {}, colleague), 403, 'OwnerOnly');
  await fails(colleague.jobs.beginCancelAndWait(G, D, 'train-1', soon), 403,
    'OwnerOnly');
  await fails(colleague.jobs.beginDeleteAndWait(G, D, 'train-1', soon), 403,
    'OwnerOnly');
  await refused(raw('GET', `${W}/jobs/train-1/logs`, { as: 'reader' }), 403,
    'OwnerOnly');
});

await step('what can\'t be', async () => {
  await fails(put('wide', 'true', { resources: { instanceCount: 2 } }), 400,
    'UserError');
  await fails(put('wide', 'true',
    { distribution: { distributionType: 'Mpi', processCountPerInstance: 2 } }),
  400, 'UserError');
  await fails(put('wide', 'true', { environmentId: 'image:debian' }), 400,
    'UserError');
  await fails(put('nowhere', 'true', { computeId: `${W}/computes/no-lab` }),
    400, 'ComputeNotFound');
  await fails(put('tags', 'true', { tags: { a: 'b'.repeat(300) } }), 400,
    'InvalidTags');
  await refused(raw('PUT', `${W}/jobs/-x`, { json: body('true') }), 400,
    'InvalidResourceName');
  await refused(raw('PUT', `${W}/jobs/nul`, { json: body('a\0b') }), 400,
    'InvalidRequestContent');
  await fails(all(jobs.list(G, D, { skip: 'x' })), 400, 'InvalidSkipToken');
  await refused(raw('GET', `${W}/jobs?listViewType=Some`), 400,
    'UnsupportedQuery');
  await refused(raw('GET', `${W}/jobs/many-00?operation=nothing`), 404,
    'OperationNotFound');
  await refused(raw('GET', `${W}/jobs/train-1/logs`,
    { headers: { range: 'bytes=9999-' } }), 416, 'RangeNotSatisfiable');
  const full = [];
  for (let i = 0; i < 41; i++) {
    full.push(await raw('PUT', `${W}/jobs/full-${i}`,
      { json: body('sleep 1000') }));
  }
  await refused(full.find((a) => a.status === 409), 409, 'TooManyJobs');
  for (let i = 0; i < 40; i++) {
    await raw('POST', `${W}/jobs/full-${i}/cancel`);
  }
});

say({ end: 1 });
