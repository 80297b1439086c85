// The client's side of roles.t.  Says one JSON object a line.

import { randomUUID } from 'node:crypto';
import { AuthorizationManagementClient } from '@azure/arm-authorization';
import { Password, all, fails, is, it, say, step } from './common.mjs';

const client = (account) =>
  new AuthorizationManagementClient(new Password(account), it.subscription, {
    $host: it.endpoint,
    endpoint: it.endpoint,
  });

const owner = client('owner');
const admin = client('admin');
const creator = client('creator');
const reader = client('reader');
const READER = 'acdd72a7-3385-48ef-bd42-f606fba81ae7';
const roles = `/subscriptions/${it.subscription}` +
  '/providers/Microsoft.Authorization/roleDefinitions';
const W = it.workspace;
const scope = W.slice(1); // the SDK's own examples have no slash in front
let made;

await step('an owner assigns a role', async () => {
  const name = randomUUID();
  made = await owner.roleAssignments.create(scope, name, {
    roleDefinitionId: `${roles}/${READER}`,
    principalId: it.ids.reader,
    principalType: 'User',
    description: 'for a look',
  });
  is(made.name, name, 'name');
  is(made.id, `${W}/providers/Microsoft.Authorization/roleAssignments/${name}`,
    'id');
  is(made.type, 'Microsoft.Authorization/roleAssignments', 'type');
  is(made.scope, W, 'scope');
  is(made.principalId, it.ids.reader, 'principalId');
  is(made.principalType, 'User', 'principalType');
  is(made.roleDefinitionId, `${roles}/${READER}`, 'roleDefinitionId');
  is(made.description, 'for a look', 'description');
  is(made.createdBy, it.ids.owner, 'createdBy');
  is(Math.abs(made.createdOn - Date.now()) < 60000, true, 'createdOn');
});

await step('which holds at once', async () => {
  const list = await all(reader.roleAssignments.listForScope(scope));
  is(list.some((a) => a.name === made.name), true, 'the reader reads it');
});

await step('and can be read again, by scope and by id', async () => {
  const again = await owner.roleAssignments.get(scope, made.name);
  is(again.principalId, it.ids.reader, 'get');
  const byId = await owner.roleAssignments.getById(made.id);
  is(byId.name, made.name, 'getById, whose id begins with a slash');
  await fails(admin.roleAssignments.get(`subscriptions/${it.subscription}`,
    made.name), 404, 'RoleAssignmentNotFound');
  await fails(owner.roleAssignments.get(scope, randomUUID()), 404,
    'RoleAssignmentNotFound');
});

await step('twice is once; another is a conflict', async () => {
  const parameters = {
    roleDefinitionId: `${roles}/${READER}`,
    principalId: it.ids.reader,
  };
  const again = await owner.roleAssignments.create(scope, made.name,
    { ...parameters, description: 'still' });
  is(again.description, 'still', 'the description changes');
  is(again.createdOn.getTime(), made.createdOn.getTime(), 'createdOn stays');
  await fails(owner.roleAssignments.create(scope, randomUUID(), parameters),
    409, 'RoleAssignmentExists');
  await fails(owner.roleAssignments.create(scope, made.name,
    { ...parameters, principalId: it.ids.creator }), 400,
  'RoleAssignmentUpdateNotPermitted');
});

await step('lists and their filters', async () => {
  const names = async (who, filter, at = scope) =>
    (await all(who.roleAssignments.listForScope(at, { filter })))
      .map((a) => a.name);
  is((await names(owner, `principalId eq '${it.ids.reader}'`)).join(),
    made.name, 'of a principal');
  is((await names(owner, `assignedTo('${it.ids.reader}')`)).join(),
    made.name, 'assigned to one');
  is((await names(owner, `atScope() and assignedTo('${it.ids.reader}')`))
    .join(), made.name, 'at the scope');
  is((await names(owner, 'atScope()')).length, 4, 'above, and at it');
  is((await names(admin, `atScope() and principalId eq '${it.ids.reader}'`,
    `subscriptions/${it.subscription}`)).length, 0, 'not below');
  const s = await all(admin.roleAssignments.listForSubscription());
  is(s.some((a) => a.name === made.name), true, 'below a subscription');
  const g = await all(admin.roleAssignments.listForResourceGroup(it.group));
  is(g.some((a) => a.name === made.name), true, 'below a resource group');
  const r = await all(owner.roleAssignments.listForResource(it.group,
    'Microsoft.MachineLearningServices', 'workspaces', W.split('/').pop()));
  is(r.some((a) => a.name === made.name), true, 'of a resource');
  await fails(names(owner, 'x eq 1'), 400, 'UnsupportedQuery');
});

await step('who may not, may not', async () => {
  await fails(creator.roleAssignments.create(scope, randomUUID(), {
    roleDefinitionId: `${roles}/${READER}`,
    principalId: it.ids.creator,
  }), 403, 'action_denied');
  await fails(owner.roleAssignments.create(
    `subscriptions/${it.subscription}`, randomUUID(), {
      roleDefinitionId: `${roles}/${READER}`,
      principalId: it.ids.creator,
    }), 403, 'action_denied');
});

await step('what is refused', async () => {
  const create = (more) => owner.roleAssignments.create(scope, randomUUID(), {
    roleDefinitionId: `${roles}/${READER}`,
    principalId: it.ids.creator,
    ...more,
  });
  await fails(create({ principalId: randomUUID() }), 400, 'PrincipalNotFound');
  await fails(create({ principalType: 'Group' }), 400,
    'UnmatchedPrincipalType');
  await fails(create({ roleDefinitionId: `${roles}/${randomUUID()}` }), 400,
    'RoleDefinitionDoesNotExist');
  await fails(create({ condition: '@Resource[x] StringEquals \'y\'' }), 400,
    'ConditionsNotSupported');
});

await step('a group that nobody has seen', async () => {
  const group = randomUUID();
  const a = await owner.roleAssignments.create(it.compute.slice(1),
    randomUUID(), {
      roleDefinitionId: `${roles}/${READER}`,
      principalId: group,
      principalType: 'Group',
    });
  is(a.principalType, 'Group', 'principalType');
  is(a.scope, it.compute, 'at a compute');
  const gone = await owner.roleAssignments.deleteById(a.id);
  is(gone.name, a.name, 'deleted by its id');
});

await step('deleting', async () => {
  const gone = await owner.roleAssignments.delete(scope, made.name);
  is(gone.name, made.name, 'it is told once more');
  await fails(reader.roleAssignments.get(scope, made.name).then(() => 0),
    403, 'action_denied');
  is((await owner.roleAssignments.delete(scope, made.name)).name, undefined,
    'what is not there');
  await fails(owner.roleAssignments.get(scope, made.name), 404,
    'RoleAssignmentNotFound');
});

await step('role definitions', async () => {
  const list = await all(owner.roleDefinitions.list(scope));
  is(list.length, 5, 'the built-in ones');
  const [one] = await all(owner.roleDefinitions.list(scope,
    { filter: "roleName eq 'reader'" }));
  is(one.name, READER, 'by name');
  is(one.roleName, 'Reader', 'roleName');
  is(one.roleType, 'BuiltInRole', 'roleType');
  is(one.permissions[0].actions.join(), '*/read', 'actions');
  is(one.assignableScopes.join(), '/', 'assignableScopes');
  const byId = await admin.roleDefinitions.getById(one.id);
  is(byId.roleName, 'Reader', 'getById');
});

await step('custom role definitions', async () => {
  const name = randomUUID();
  const M = 'Microsoft.MachineLearningServices/workspaces';
  const role = {
    roleName: 'Trainer',
    description: 'starts what is there',
    roleType: 'CustomRole',
    permissions: [{
      actions: [`${M}/computes/*`],
      notActions: [`${M}/computes/write`, `${M}/computes/delete`],
    }],
    assignableScopes: [W],
  };
  const trainer = await owner.roleDefinitions.createOrUpdate(scope, name, role);
  is(trainer.name, name, 'name');
  is(trainer.roleType, 'CustomRole', 'roleType');
  is(trainer.permissions[0].notActions.length, 2, 'notActions');
  await fails(owner.roleDefinitions.createOrUpdate(scope, randomUUID(), role),
    409, 'RoleDefinitionWithSameNameExists');
  await fails(owner.roleDefinitions.createOrUpdate(scope, randomUUID(),
    { ...role, roleName: 'Other', assignableScopes: ['/'] }), 403,
  'LinkedAuthorizationFailed');
  await fails(owner.roleDefinitions.createOrUpdate(scope, READER,
    { ...role, roleName: 'Mine' }), 400, 'RoleDefinitionUpdateNotPermitted');
  await fails(owner.roleDefinitions.delete(scope, READER), 400,
    'RoleDefinitionUpdateNotPermitted');

  const a = await owner.roleAssignments.create(scope, randomUUID(), {
    roleDefinitionId: trainer.id,
    principalId: it.ids.reader,
  });
  await fails(owner.roleDefinitions.delete(scope, name), 409,
    'RoleDefinitionHasAssignments');
  const less = await owner.roleDefinitions.createOrUpdate(scope, name,
    { ...role, description: 'less', permissions: [{ actions: [] }] });
  is(less.description, 'less', 'an update');
  await owner.roleAssignments.deleteById(a.id);
  const gone = await owner.roleDefinitions.delete(scope, name);
  is(gone.name, name, 'deleted');
  is((await owner.roleDefinitions.delete(scope, name)).name, undefined,
    'again');
  await fails(owner.roleDefinitions.get(scope, name), 404,
    'RoleDefinitionDoesNotExist');
});

say({ end: 1 });
