// panva's oidc-provider as an organisation's identity provider, for the tests:
//
//     node oidc-provider.mjs CONFIGURATION.json
//
// t/lib/AML/Provider/OidcProvider.pm writes the configuration: where to
// listen, certificate, clients, accounts, resources, and the files of the
// private keys (the first of each algorithm signs) and of the state, which is
// kept across restarts as a database would.
//
//     SIGHUP   keys, clients and accounts are read again
//     SIGTERM  writes the state and ends
//
//     POST /control/end-sessions {account}    with the configured secret, as
//     an administrator who signs somebody out: their clients are told by back
//     channel, their sessions and grants end.

import * as dns from 'node:dns';
import * as fs from 'node:fs';
import * as https from 'node:https';
import { timingSafeEqual } from 'node:crypto';

import Provider, { errors } from 'oidc-provider';

const read = (file) => JSON.parse(fs.readFileSync(file, 'utf8'));
const file = process.argv[2];
const start = read(file);
let config = start;

// ---- the state ----

const stored = new Map(
  fs.existsSync(start.state) ? read(start.state) : [],
);
const now = () => Date.now() / 1000;

// One Map for all models, in the shape that oidc-provider asks of a database.
class Adapter {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model}:${id}`;
  }

  async upsert(id, payload, expiresIn) {
    stored.set(this.key(id), { payload, expires: now() + (expiresIn || 1e9) });
  }

  async find(id) {
    const entry = stored.get(this.key(id));
    return entry && entry.expires > now() ? entry.payload : undefined;
  }

  async findWhere(name, value) {
    for (const [key, { payload, expires }] of stored) {
      if (key.startsWith(`${this.model}:`) && payload[name] === value
          && expires > now()) {
        return payload;
      }
    }
    return undefined;
  }

  async findByUid(uid) {
    return this.findWhere('uid', uid);
  }

  async findByUserCode(userCode) {
    return this.findWhere('userCode', userCode);
  }

  async consume(id) {
    stored.get(this.key(id)).payload.consumed = Math.floor(now());
  }

  async destroy(id) {
    stored.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, { payload }] of stored) {
      if (payload.grantId === grantId) stored.delete(key);
    }
  }
}

// ---- accounts ----

const claimsOf = (account) => ({
  sub: account.sub,
  name: account.name,
  preferred_username: account.login,
  email: account.email,
  email_verified: account.email ? true : undefined,
  groups: account.groups,
});

async function findAccount(ctx, sub) {
  const account = config.accounts.find((a) => a.sub === sub && !a.disabled);
  return account && { accountId: sub, claims: async () => claimsOf(account) };
}

// ---- the provider ----

const page = (title, body) => `<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><title>${title}</title></head>
<body><h1>${title}</h1>${body}</body></html>`;
const escaped = (text) => String(text).replace(/[&<>"]/g,
  (c) => ({ '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' })[c]);

const withButton = (form, button) =>
  form.replace('</form>', `<button type="submit"${button}</button></form>`);

const resourceOf = (id) => config.resources.find((r) => r.id === id);

// *.localhost is here, whatever the machine's resolver knows.
function lookup(host, options, callback) {
  const here = /(^|\.)localhost$/.test(host);
  return dns.lookup(here ? '127.0.0.1' : host, options, callback);
}

function configuration() {
  return {
    adapter: Adapter,
    clients: config.clients,
    jwks: { keys: read(config.keys) },
    findAccount,
    claims: {
      openid: ['sub'],
      profile: ['name', 'preferred_username'],
      email: ['email', 'email_verified'],
      groups: ['groups'],
    },
    // as most providers do: what the scopes bring is in the ID token, too
    conformIdTokenClaims: false,
    scopes: ['openid', 'offline_access'],
    cookies: { keys: [config.secret] },
    pkce: { required: () => true },
    rotateRefreshToken: true,
    issueRefreshToken: async (ctx, client, code) =>
      client.grantTypeAllowed('refresh_token')
        && (code.scopes.has('offline_access') || config.always_refresh),
    expiresWithSession: async (ctx, code) => !code.scopes.has('offline_access'),
    ttl: {
      AccessToken: config.lifetime,
      IdToken: config.lifetime,
      AuthorizationCode: 60,
      DeviceCode: 600,
      Interaction: 600,
      Grant: 14 * 86400,
      RefreshToken: 14 * 86400,
      Session: 86400,
    },
    enabledJWA: {
      idTokenSigningAlgValues: ['RS256', 'PS256', 'ES256'],
    },
    features: {
      devInteractions: { enabled: false },
      deviceFlow: {
        enabled: true,
        userCodeInputSource: async (ctx, form, out, error) => {
          ctx.body = page('Connect a device',
            (error ? '<p>This code is not known.</p>' : '')
              + withButton(form, '>Continue'));
        },
        userCodeConfirmSource: async (ctx, form, client, info, code) => {
          ctx.body = page('Confirm the device',
            `<p>${escaped(code)}</p>${withButton(form, '>Yes')}`);
        },
        successSource: async (ctx) => {
          ctx.body = page('The device is connected', '');
        },
      },
      rpInitiatedLogout: {
        enabled: true,
        logoutSource: async (ctx, form) => {
          ctx.body = page('Sign out',
            withButton(form, ' value="yes" name="logout">Yes, sign me out'));
        },
        postLogoutSuccessSource: async (ctx) => {
          ctx.body = page('You are signed out', '');
        },
      },
      backchannelLogout: { enabled: true },
      introspection: { enabled: true },
      revocation: { enabled: true },
      userinfo: { enabled: true },
      resourceIndicators: {
        enabled: true,
        useGrantedResource: () => true,
        getResourceServerInfo: (ctx, id) => {
          const resource = resourceOf(id);
          if (!resource) throw new errors.InvalidTarget();
          return {
            audience: resource.id,
            scope: resource.scope,
            accessTokenFormat: 'jwt',
            accessTokenTTL: config.lifetime,
            jwt: { sign: { alg: resource.alg } },
          };
        },
      },
    },
    extraTokenClaims: async (ctx, token) => {
      const account = config.accounts.find((a) => a.sub === token.accountId);
      return account && {
        name: account.name,
        preferred_username: account.login,
        groups: account.groups,
      };
    },
    interactions: { url: (ctx, { uid }) => `/interaction/${uid}` },
    httpOptions: () => ({ dnsLookup: lookup }),
    renderError: async (ctx, out) => {
      ctx.type = 'html';
      ctx.body = page('This did not work', `<p id="error">${
        escaped(out.error)}</p><p>${escaped(out.error_description)}</p>`);
    },
  };
}

let provider;
let callback;

function make() {
  config = read(file);
  provider = new Provider(config.issuer, configuration());
  provider.on('server_error', (ctx, err) => console.error(err));
  provider.on('backchannel.success', (ctx, client, account, sid) =>
    console.log(`back channel: ${client.clientId} ${account} ${sid}`));
  provider.on('backchannel.error', (ctx, err, client) =>
    console.error(`back channel: ${client.clientId}: ${err.message}`));
  callback = provider.callback();
}

// ---- pages of our own ----

async function body(req) {
  let text = '';
  for await (const chunk of req) {
    text += chunk;
    if (text.length > 65536) throw new Error('too much');
  }
  return text;
}

function html(res, status, title, content) {
  res.writeHead(status, {
    'Content-Type': 'text/html; charset=utf-8',
    'Cache-Control': 'no-store',
    'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'",
  });
  res.end(page(title, content));
}

function loginPage(res, uid, login, wrong) {
  html(res, wrong ? 401 : 200, 'Sign in to Example Organisation', `
${wrong ? '<p id="error">This account or password is not known.</p>' : ''}
<form method="post" action="/interaction/${uid}/login">
<label>Account <input type="text" name="login" value="${escaped(login || '')}"
autocomplete="username" required></label>
<label>Password <input type="password" name="password"
autocomplete="current-password" required></label>
<button type="submit">Sign in</button></form>
<form method="post" action="/interaction/${uid}/abort">
<button type="submit" id="cancel">Cancel</button></form>`);
}

async function consented(interaction) {
  const { grantId, params, prompt, session } = interaction;
  const grant = (grantId && await provider.Grant.find(grantId))
    || new provider.Grant({
      accountId: session.accountId, clientId: params.client_id,
    });
  const { missingOIDCScope, missingOIDCClaims, missingResourceScopes } =
    prompt.details;
  if (missingOIDCScope) grant.addOIDCScope(missingOIDCScope.join(' '));
  if (missingOIDCClaims) grant.addOIDCClaims(missingOIDCClaims);
  for (const [id, scopes] of Object.entries(missingResourceScopes || {})) {
    grant.addResourceScope(id, scopes.join(' '));
  }
  return grant.save();
}

async function interact(req, res, uid, step) {
  const interaction = await provider.interactionDetails(req, res);
  const { prompt, params } = interaction;
  const finish = (result) =>
    provider.interactionFinished(req, res, result,
      { mergeWithLastSubmission: true });

  if (interaction.uid !== uid) throw new errors.SessionNotFound('another');
  if (step === 'abort' && req.method === 'POST') {
    await finish({
      error: 'access_denied', error_description: 'the person cancelled',
    });
  } else if (prompt.name === 'login' && req.method === 'POST') {
    const form = new URLSearchParams(await body(req));
    const account = config.accounts.find((a) =>
      a.login === form.get('login') && a.password === form.get('password')
        && !a.disabled);
    if (account) {
      await finish({ login: { accountId: account.sub, amr: ['pwd'] } });
    } else {
      loginPage(res, uid, form.get('login'), true);
    }
  } else if (prompt.name === 'login') {
    loginPage(res, uid, params.login_hint, false);
  } else if (req.method === 'POST') {
    await finish({ consent: { grantId: await consented(interaction) } });
  } else {
    html(res, 200, 'Allow this?', `<p>${escaped(params.client_id)} asks for:
${escaped(params.scope)}</p>
<form method="post" action="/interaction/${uid}/consent">
<button type="submit" id="allow">Allow</button></form>
<form method="post" action="/interaction/${uid}/abort">
<button type="submit" id="cancel">Cancel</button></form>`);
  }
}

async function endSessions(req, res) {
  const want = Buffer.from(`Bearer ${config.secret}`);
  const got = Buffer.from(req.headers.authorization || '');
  if (req.method !== 'POST' || want.length !== got.length
      || !timingSafeEqual(want, got)) {
    res.writeHead(404).end();
    return;
  }
  const { account } = JSON.parse(await body(req));
  const sub = config.accounts.find((a) => a.login === account)?.sub;
  const told = [];
  for (const [key, { payload }] of [...stored]) {
    if (!key.startsWith('Session:') || payload.accountId !== sub) continue;
    for (const [id, a] of Object.entries(payload.authorizations || {})) {
      const client = await provider.Client.find(id);
      if (client?.backchannelLogoutUri && a.sid) {
        await client.backchannelLogout(sub, a.sid);
        told.push(a.sid);
      }
      await new Adapter('Grant').revokeByGrantId(a.grantId);
      stored.delete(`Grant:${a.grantId}`);
    }
    stored.delete(key);
  }
  res.writeHead(200, { 'Content-Type': 'application/json' });
  res.end(JSON.stringify({ told }));
}

async function handle(req, res) {
  const { pathname } = new URL(req.url, config.issuer);
  const [, first, uid, step] = pathname.split('/');
  console.log(`request: ${req.method} ${pathname}`);
  try {
    if (first === 'interaction') await interact(req, res, uid, step);
    else if (pathname === '/control/end-sessions') await endSessions(req, res);
    else callback(req, res);
  } catch (err) {
    console.error(err.error_description || err.stack);
    if (!res.headersSent) {
      html(res, err.statusCode || 500, 'This did not work',
        `<p id="error">${escaped(err.message)}</p>`);
    }
  }
}

// ---- the process ----

make();
const server = https.createServer(
  { cert: fs.readFileSync(start.cert), key: fs.readFileSync(start.key) },
  handle,
);
server.listen(start.port, '127.0.0.1', () => console.log('listening'));

process.on('SIGHUP', () => {
  try {
    make();
    console.log('read again');
  } catch (err) {
    console.error(err.error_description || err.stack);
  }
});
process.on('SIGTERM', () => {
  fs.writeFileSync(start.state, JSON.stringify([...stored]), { mode: 0o600 });
  server.closeAllConnections();
  server.close(() => process.exit(0));
});
