// The client's side of computes.t: what people do with compute instances, and
// every error that docs/computes.md has.

import { AzureMachineLearningWorkspaces } from '@azure/arm-machinelearning';
import { createHttpHeaders, createPipelineRequest }
  from '@azure/core-rest-pipeline';
import { Password, all, fails, is, it, say, step } from './common.mjs';

const W = it.workspace;
const [G, D] = [it.group, W.split('/').pop()];
const L = `/subscriptions/${it.subscription}/providers` +
  '/Microsoft.MachineLearningServices/locations/local';

const client = (account, options) => {
  const c = new AzureMachineLearningWorkspaces(new Password(account),
    it.subscription,
    { $host: it.endpoint, endpoint: it.endpoint, ...options });
  return c;
};
const [creator, colleague, reader, admin] =
  ['creator', 'colleague', 'reader', 'admin'].map((name) => client(name));
const computes = creator.computeOperations;
const soon = { updateIntervalInMs: 50 };

const body = (inner = {}, more = {}) => ({
  location: 'local',
  ...more,
  properties: {
    computeType: 'ComputeInstance',
    properties: { vmSize: 'STANDARD_DS3_V2', ...inner },
  },
});
const put = (name, parameters = body(), who = creator) =>
  who.computeOperations.beginCreateOrUpdateAndWait(G, D, name, parameters,
    soon);
const get = (name, who = creator) => who.computeOperations.get(G, D, name);
const state = async (name) => (await get(name)).properties.properties.state;

const tokens = {};

// What these clients have no call for, or would not let out.
async function raw(method, path, { as = 'creator', query, json } = {}) {
  tokens[as] ??= (await new Password(as).getToken()).token;
  const url = new URL(it.endpoint + path);
  url.search = new URLSearchParams(
    { 'api-version': '2022-10-01', ...query });
  const answer = await fetch(url, {
    method,
    headers: {
      authorization: `Bearer ${tokens[as]}`,
      'content-type': 'application/json',
    },
    body: json === undefined ? undefined : JSON.stringify(json),
  });
  const text = await answer.text();
  return {
    status: answer.status,
    operation: answer.headers.get('azure-asyncoperation'),
    json: text ? JSON.parse(text) : undefined,
  };
}

async function refused(answer, status, code) {
  const a = await answer;
  is(`${a.status} ${a.json?.error?.code}`, `${status} ${code}`,
    a.json?.error?.message);
  say({ met: code });
}

async function limit(name, value) {
  const a = await admin.quotas.update('local', {
    location: 'local',
    value: [{ id: `${L}/quotas/${name}`, limit: value, unit: 'Count' }],
  });
  return a.value[0];
}

if (it.phase === 'many') {
  await step('a list of 10,000, page by page', async () => {
    const seen = new Set();
    let pages = 0;
    for await (const page of
      reader.computeOperations.list(G, D).byPage()) {
      pages++;
      for (const one of page) seen.add(one.name);
    }
    is(seen.size, 10002, 'all of them, each once');
    is(pages, Math.ceil(10002 / 30), 'pages of 30');
  });

  await step('and one\'s own of them', async () => {
    const own = await raw('GET', `${W}/computes`,
      { as: 'colleague', query: { assignedUser: 'me' } });
    // Same-Lab, where the colleague was the faster of two.
    const names = own.json.value.map((c) => c.name);
    is(names.filter((name) => name !== 'Same-Lab').join(), 'colleagues-lab',
      'by name');
  });

  await step('what 10,000 use', async () => {
    const [total] = await all(admin.usages.list('local'));
    is(total.currentValue, 40008, 'cores');
  });

  say({ end: 1 });
  process.exit(0);
}

await step('what sizes there are', async () => {
  const { value } = await admin.virtualMachineSizes.list('local');
  const one = value.find((s) => s.name === 'STANDARD_NC6');
  is(`${one.family} ${one.vCPUs} ${one.gpus} ${one.memoryGB}`,
    'standardNCFamily 6 1 56', 'one with a GPU');
});

await step('create, with all that a client of Azure fills in', async () => {
  const made = await put('first-lab', body({
    applicationSharingPolicy: 'Shared',
    computeInstanceAuthorizationType: 'personal',
    sshSettings: { sshPublicAccess: 'Disabled' },
    personalComputeInstanceSettings: {
      assignedUser: { objectId: it.ids.creator, tenantId: 'x' },
    },
  }, { tags: { team: 'blue' } }));
  const p = made.properties;
  is(made.name, 'first-lab', 'name');
  is(made.location, 'local', 'location');
  is(made.tags.team, 'blue', 'tags');
  is(p.computeType, 'ComputeInstance', 'computeType');
  is(p.provisioningState, 'Succeeded', 'provisioningState');
  is(p.properties.state, 'Running', 'state');
  is(p.properties.applicationSharingPolicy, 'Personal', 'policy');
  is(p.properties.createdBy.userId, it.ids.creator, 'createdBy');
  is(p.properties.lastOperation.operationName, 'Create', 'lastOperation');
  is(p.properties.lastOperation.operationTime instanceof Date, true, 'a time');
  is(p.properties.applications.map((a) => a.displayName).sort().join(),
    'Jupyter,Jupyter Lab', 'applications');
});

await step('create it again, which changes what may change', async () => {
  const again = await put('FIRST-lab', body({}, { tags: { team: 'red' } }));
  is(again.tags.team, 'red', 'tags');
  is(again.properties.properties.state, 'Running', 'it runs on');
});

await step('stop, start, restart, and each of them twice', async () => {
  const wait = (verb) => computes[`begin${verb}AndWait`](G, D, 'first-lab', soon);
  await wait('Stop');
  is(await state('first-lab'), 'Stopped', 'stop');
  await wait('Stop');
  await wait('Start');
  is(await state('first-lab'), 'Running', 'start');
  await wait('Restart');
  is(await state('first-lab'), 'Running', 'restart');
  await Promise.all([wait('Restart'), wait('Restart')]);
  await Promise.all([wait('Stop'), wait('Stop')]);
  is(await state('first-lab'), 'Stopped', 'stop');
  await Promise.all([wait('Start'), wait('Start')]);
  is(await state('first-lab'), 'Running', 'start');
});

await step('idle time and schedules', async () => {
  let a = await raw('POST', `${W}/computes/first-lab/updateIdleShutdownSetting`,
    { json: { idleTimeBeforeShutdown: 'PT1H' } });
  is(a.status, 200, 'idle time');
  a = await raw('POST', `${W}/computes/first-lab/updateSchedules`, {
    json: {
      computeStartStop: [{
        status: 'Enabled',
        action: 'Stop',
        triggerType: 'Cron',
        cron: {
          startTime: '2021-04-23T01:30:00',
          timeZone: 'Pacific Standard Time',
          expression: '0 18 * * *',
        },
      }],
    },
  });
  is(a.status, 200, 'schedules');
  const { properties } = (await get('first-lab')).properties;
  const [one] = properties.schedules.computeStartStop;
  is(one.cron.expression, '0 18 * * *', 'expression');
  is(one.provisioningStatus, 'Completed', 'provisioningStatus');
  a = await raw('GET', `${W}/computes/first-lab`);
  is(a.json.properties.properties.idleTimeBeforeShutdown, 'PT60M',
    'which these clients do not read');
});

await step('for somebody else', async () => {
  const made = await put('colleagues-lab', body({
    personalComputeInstanceSettings: {
      assignedUser: { objectId: it.ids.colleague, tenantId: 'x' },
    },
  }));
  const p = made.properties.properties;
  is(p.personalComputeInstanceSettings.assignedUser.objectId,
    it.ids.colleague, 'whose it is');
  is(p.createdBy.userId, it.ids.creator, 'who asked for it');
  const names = async (query) =>
    (await raw('GET', `${W}/computes`, { query })).json.value
      .map((c) => c.name).join();
  is(await names({ createdBy: 'me' }), 'colleagues-lab,first-lab,slow-lab',
    'by me');
  is(await names({ assignedUser: 'me' }), 'first-lab,slow-lab', 'mine');
  is(await names({
    $filter: `properties/properties/createdBy/userId eq '${it.ids.colleague}'`,
  }), '', 'by them');
  await fails(put('other-lab', body({
    personalComputeInstanceSettings: {
      assignedUser: { objectId: it.workspace.split('/')[2], tenantId: 'x' },
    },
  })), 400, 'PrincipalNotFound');
  await fails(put('other-lab', body({
    personalComputeInstanceSettings: {
      assignedUser: { objectId: it.ids.colleague, tenantId: 'x' },
    },
    setupScripts: {
      scripts: {
        startupScript: { scriptSource: 'inline', scriptData: 'aWQK' },
      },
    },
  })), 403, 'OwnerOnly');
});

await step('usages and quotas', async () => {
  const used = async (name) => (await all(admin.usages.list('local')))
    .find((u) => u.name.value === name);
  is((await used('total')).currentValue, 12, 'three of four cores');
  is((await used('standardDSv2Family')).currentValue, 12, 'of one family');
  is((await used('total')).limit, -1, 'without a limit');
  const set = await limit('standardDSv2Family', 14);
  is(`${set.status} ${set.limit}`, 'Success 14', 'set');
  const q = (await all(admin.quotas.list('local')))
    .find((one) => one.name.value === 'standardDSv2Family');
  is(`${q.limit} ${q.unit}`, '14 Count', 'and read');
  const e = await fails(put('third-lab'), 409, 'QuotaExceeded');
  is(/standardDSv2Family.*14 cores.* 12 are in use.* 2 too many/
    .test(e.message), true, e.message);
  is((await limit('no-such-family', 1)).status, 'InvalidVMFamilyName', 'none');
  await put('third-lab', body({ vmSize: 'STANDARD_DS2_V2' }));
  await limit('standardDSv2Family', -1);
  await computes.beginDeleteAndWait(G, D, 'third-lab', 'Delete', soon);
  is((await used('total')).currentValue, 12, 'given back');
  await fails(all(creator.usages.list('local')), 403, 'action_denied');
  await fails(creator.quotas.update('local', {
    value: [{ id: `${L}/quotas/total`, limit: 1 }],
  }), 403, 'action_denied');
});

await step('what is fixed, is named', async () => {
  for (const [inner, target] of [
    [{ vmSize: 'STANDARD_DS4_V2' }, 'vmSize'],
    [{ sshSettings: { sshPublicAccess: 'Enabled' } }, 'sshSettings'],
    [{ subnet: { id: '/s' } }, 'subnet'],
    [{
      personalComputeInstanceSettings: {
        assignedUser: { objectId: it.ids.colleague, tenantId: 'x' },
      },
    }, 'assignedUser'],
  ]) {
    const e = await fails(put('first-lab', body(inner)), 400,
      'PropertyChangeNotAllowed');
    is(e.message.includes(target), true, e.message);
  }
});

await step('bodies that are wrong', async () => {
  await fails(put('other-lab', body({ vmSize: 'STANDARD_NONE' })), 400,
    'UserError');
  await fails(put('other-lab', body({
    sshSettings: { sshPublicAccess: 'Enabled', adminPublicKey: 'ssh-rsa x' },
  })), 400, 'UserError');
  await fails(put('other-lab', {
    location: 'local',
    properties: { computeType: 'Kubernetes' },
  }), 400, 'UserError');
  await fails(put('other-lab', body({}, { location: 'mars' })), 400,
    'UserError');
  await fails(put('other-lab', body({}, { tags: { a: 'x'.repeat(300) } })),
    400, 'InvalidTags');
  await refused(raw('PUT', `${W}/computes/other-lab`, { json: [] }), 400,
    'InvalidRequestContent');
});

await step('names', async () => {
  for (const [name, why] of [['ab', /3 to 24/], ['1lab', /start with/],
    ['l_b', /letters, digits/], ['lab-1', /followed by/]]) {
    const e = await fails(put(name), 400, 'InvalidResourceName');
    is(why.test(e.message), true, e.message);
  }
  await fails(put('First-Lab', body(), colleague), 409, 'NameNotAvailable');
});

await step('two creates of one name at the same moment', async () => {
  const both = await Promise.allSettled([
    put('same-lab'), put('Same-Lab', body(), colleague),
  ]);
  is(both.map((r) => r.status).sort().join(), 'fulfilled,rejected',
    'one wins');
  const lost = both.find((r) => r.status === 'rejected').reason;
  is(`${lost.statusCode} ${lost.code}`, '409 NameNotAvailable', 'one loses');
  is((await get('same-lab')).name.toLowerCase(), 'same-lab', 'there is one');
});

await step('what is not there', async () => {
  await fails(get('no-lab'), 404, 'ResourceNotFound');
  await fails(computes.beginStartAndWait(G, D, 'no-lab', soon), 404,
    'ResourceNotFound');
  await fails(all(admin.usages.list('mars')), 404, 'ResourceNotFound');
  await refused(raw('GET', `${W}/computes/first-lab`,
    { query: { operation: '0'.repeat(32) } }), 404, 'OperationNotFound');
  await refused(raw('GET', `${W}/computes/first-lab/logs/nothing`), 404,
    'LogNotFound');
});

await step('custom services: their client\'s pipeline, and Azure\'s form', async () => {
  const call = async (method, path, value, headers = {}) => {
    const answer = await creator.sendRequest(createPipelineRequest({
      url: `${it.endpoint}${W}/computes/first-lab${path}` +
        '?api-version=2022-10-01-preview',
      method,
      headers: createHttpHeaders(
        { 'content-type': 'application/json', ...headers }),
      body: value && JSON.stringify(value),
    }));
    const text = answer.bodyAsText;
    return { status: answer.status, json: text ? JSON.parse(text) : undefined };
  };
  const list = async () =>
    (await call('GET', '')).json.properties.properties.customServices;

  // as azure-ai-ml's CustomApplications are sent
  const theirs = {
    type: 'docker',
    name: 'tried',
    image: { type: 'docker', reference: 'docker.io/library/none' },
    endpoints: [{
      name: 'connect', target: 9002, published: 9001, protocol: 'http',
    }],
    environmentVariables: { A: { type: 'local', value: 'b' } },
    docker: { privileged: true },
  };
  await refused(call('POST', '/customServices', [theirs]), 400, 'UserError');
  const { image, ...own } = theirs;
  const given = await call('POST', '/customServices',
    [{ ...own, command: 'exec sleep 1000' }]);
  is(given.status, 200, 'one that is a command is taken');
  const [shown] = await list();
  is(`${shown.name} ${shown.endpoints[0].published} ${shown.image.type}`,
    'tried 9001 docker', 'and answered in the form that they read');
  is(shown.endpoints[0].endpointUri.includes('first-lab-9001.'), true,
    'with its address');
  const stopped = await call('POST', '/customServices/tried/stop');
  is(stopped.status, 202, 'it is stopped');
  await refused(call('POST', '/customServices/none/start'), 404,
    'ServiceNotFound');
  const { etag } = (await call('GET', '/customServices')).json;
  await refused(call('POST', '/customServices', [],
    { 'if-match': `"${'0'.repeat(32)}"` }), 412, 'PreconditionFailed');
  is((await call('POST', '/customServices', [], { 'if-match': etag })).status,
    200, 'and gone');
  is((await list()).length, 0, 'from the list');
});

await step('queries that are wrong', async () => {
  await fails(all(computes.list(G, D, { skip: 'A' })), 400,
    'InvalidSkipToken');
  await refused(raw('GET', `${W}/computes`, { query: { $filter: 'x' } }), 400,
    'UnsupportedQuery');
  await refused(raw('GET', `${W}/computes`, { query: { 'api-version': '' } }),
    400, 'MissingApiVersionParameter');
  await fails(client('creator', { apiVersion: 'latest' })
    .computeOperations.get(G, D, 'first-lab'), 400,
  'InvalidApiVersionParameter');
  await refused(raw('DELETE', `${W}/computes/first-lab`), 400, 'UserError');
});

await step('the wrong state', async () => {
  await fails(computes.beginStartAndWait(G, D, 'first-lab', soon), 409,
    'StartComputeInstanceOnlyAllowedInStoppedState');
  await fails(all(computes.listNodes(G, D, 'first-lab')), 400, 'UserError');

  // a stop that takes its time, and a deletion that takes its place
  const stop = await raw('POST', `${W}/computes/slow-lab/stop`);
  await fails(computes.beginRestartAndWait(G, D, 'slow-lab', soon), 409,
    'Conflict');
  await computes.beginDelete(G, D, 'slow-lab', 'Delete', soon);
  await fails(computes.beginStopAndWait(G, D, 'slow-lab', soon), 409,
    'Conflict');
  await fails(put('slow-lab'), 409, 'Conflict');
  await refused(raw('GET', `${W}/computes/slow-lab`, {
    query: {
      operation: /operation=(\w+)/.exec(stop.operation)[1],
      result: 'true',
    },
  }), 409, 'OperationPreempted');
});

await step('who may not, may not', async () => {
  await fails(put('other-lab', body(), reader), 403, 'action_denied');
  await fails(reader.computeOperations.beginStopAndWait(G, D, 'first-lab',
    soon), 403, 'action_denied');
  is((await get('first-lab', reader)).name, 'first-lab', 'but read');
});

await step('delete', async () => {
  await computes.beginDeleteAndWait(G, D, 'first-lab', 'Delete', soon);
  await fails(get('first-lab'), 404, 'ResourceNotFound');
  await computes.beginDeleteAndWait(G, D, 'first-lab', 'Detach', soon);
});

say({ end: 1 });
