// What the clients' sides share.  Each says one JSON object a line: see
// AML::Sdk.

import https from 'node:https';
import { createRequire } from 'node:module';

// One connection for many requests, as later releases of Node have it.
https.globalAgent.keepAlive = true;
https.globalAgent.options.keepAlive = true;

// *.localhost is here, whatever the machine's resolver knows.
const dns = createRequire(import.meta.url)('node:dns');
const resolver = dns.lookup;
dns.lookup = (host, ...rest) =>
  resolver(/(^|\.)localhost$/.test(host) ? '127.0.0.1' : host, ...rest);

export const it = JSON.parse(process.env.AML_SDK);
export const say = (o) => process.stdout.write(JSON.stringify(o) + '\n');

export async function step(name, body) {
  try {
    await body();
    say({ ok: 1, name });
  } catch (e) {
    say({ ok: 0, name, why: String(e.stack || e).slice(0, 2000) });
  }
}

export function is(got, want, what) {
  if (got !== want) throw new Error(`${what}: ${got} instead of ${want}`);
}

export async function fails(promise, status, code) {
  try {
    await promise;
  } catch (e) {
    is(`${e.statusCode} ${e.code}`, `${status} ${code}`, e.message);
    say({ met: code });
    return e;
  }
  throw new Error(`${code} was due`);
}

export async function all(iterator) {
  const list = [];
  for await (const item of iterator) list.push(item);
  return list;
}

// As people would write it: a token for the password, while it is good.
export class Password {
  constructor(account) {
    this.account = account;
  }

  async getToken() {
    const basic = Buffer.from(
      `${this.account}:${it.passwords[this.account]}`).toString('base64');
    const answer = await fetch(`${it.endpoint}/auth/token`, {
      method: 'POST',
      headers: { authorization: `Basic ${basic}` },
    });
    const body = await answer.json();
    return {
      token: body.access_token,
      expiresOnTimestamp: Date.now() + body.expires_in * 1000,
    };
  }
}
