/**
 * Tells others what was published, changed and taken away. The journals say what there is to tell, so nothing is lost when
 * the process ends: each webhook remembers how far it came in each of them. Delivered at least once; a delivery has the
 * same id however often it is sent, and in whichever process.
 */
import { createCipheriv, createDecipheriv, createHash, createHmac, randomBytes } from 'node:crypto';
import { LRUCache } from 'lru-cache';
import PQueue from 'p-queue';
import { type Events, publish, subscribe } from '../core/events.ts';
import type { Journal, OpenJournal, Signature, Written } from '../core/journal.ts';
import { Problem } from '../core/problem.ts';
import { matchesName, type Repository } from '../core/repository.ts';
import type { HostedChange, Hosting } from '../store/hosting.ts';

export interface WebhooksOptions {
  readonly openJournal: OpenJournal;
  readonly facts: WebhookFacts;
  /** 32 secret bytes; what deliveries are signed with is kept encrypted. */
  readonly key: Uint8Array;
  /** Throws a Problem for an address that webhooks are not sent to. */
  readonly check: (url: string) => void;
  /** Rejects where it must not lead. Redirects are not followed. */
  readonly fetch: (
    url: string,
    init: WebhookRequest,
  ) => Promise<{ readonly status: number; readonly body?: { cancel(): Promise<void> } | null }>;
  /** Milliseconds since 1970. */
  readonly now: () => number;
  readonly orgs: () => readonly string[];
  /** Those of the configuration. */
  readonly configured: (org: string) => readonly ConfiguredWebhook[];
  readonly repositories: (org: string) => readonly Repository[];
  readonly hostingOf: (repository: Repository) => Hosting | undefined;
  /** How often journals are looked at for what other processes wrote. Default 5 s. */
  readonly everyMs?: number;
}

export interface WebhookRequest {
  readonly method: 'POST';
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

export interface WebhookFacts {
  get(key: string): Promise<unknown>;
  set(key: string, value: unknown, ttlMs?: number): void;
  delete(key: string): void;
  entries(): AsyncIterable<[key: string, value: unknown]>;
}

export type EventKind = 'publish' | 'delete' | 'yank' | 'promote' | 'admin' | 'block';

export interface ConfiguredWebhook {
  readonly url: string;
  readonly secret: string;
  readonly events: readonly EventKind[];
  readonly repositories: readonly string[];
}

export interface KnownWebhook {
  readonly id: string;
  readonly url: string;
  readonly events: readonly EventKind[];
  readonly repositories: readonly string[];
  readonly createdAt: string;
  readonly from: 'configuration' | 'api';
}

export interface KnownDelivery {
  readonly id: string;
  readonly event: string;
  readonly at: string;
  readonly attempts: number;
  readonly state: 'waiting' | 'delivered' | 'failed';
  readonly status?: number;
  readonly error?: string;
  readonly nextAttemptAt?: string;
}

export interface WebhookJobs {
  list(org: string): Promise<readonly KnownWebhook[]>;
  create(org: string, webhook: ConfiguredWebhook, by: Signature): Promise<KnownWebhook>;
  remove(org: string, id: string, by: Signature): Promise<void>;
  deliveries(org: string, id: string): Promise<readonly KnownDelivery[]>;
  redeliver(org: string, id: string, delivery: string): Promise<KnownDelivery>;
  /** Who made and removed webhooks, newest first, from before an object's number; without secrets. */
  history(org: string, before?: number): AsyncIterable<Written<{ readonly action: string; readonly name: string }>>;
  /** Tells what is to be told now; resolves when every delivery that is due has been tried once. */
  pump(): Promise<void>;
  close(): Promise<void>;
}

type HookChange =
  | {
      readonly kind: 'created';
      readonly id: string;
      readonly url: string;
      readonly secret: string;
      readonly events: readonly EventKind[];
      readonly repositories: readonly string[];
    }
  | { readonly kind: 'removed'; readonly id: string };

interface Hook extends KnownWebhook {
  readonly secret: string;
}

/** As it is kept between attempts; the payload is made from the journal when it is first seen. */
interface Delivery extends KnownDelivery {
  readonly org: string;
  readonly hook: string;
  readonly payload: string;
}

interface Waiting {
  readonly org: string;
  readonly hook: string;
  readonly at: string;
  /** '': at once. */
  readonly nextAttemptAt: string;
}

const isDue = (one: Waiting | undefined, nowMs: number): boolean =>
  one !== undefined && one.nextAttemptAt <= new Date(nowMs).toISOString();

const deliveryTtlMs = 7 * 86_400_000;
/** Waits before each further attempt; after the last one it has failed. */
const waitsMs = [5_000, 30_000, 120_000, 600_000, 3_600_000, 6 * 3_600_000, 12 * 3_600_000];
const atOnce = 8;
const scanAgainMs = 60_000;
/** Of a journal; whoever was away for long has much to hear. */
const objectsAtOnce = 100;
const mostBlocked = 10_000;
const blockedAgainMs = 3_600_000;

export async function createWebhooks(options: WebhooksOptions): Promise<WebhookJobs> {
  const { now, facts } = options;
  const journals = new Map<string, { readonly journal: Journal<HookChange>; readonly hooks: Map<string, Hook> }>();
  const queue = new PQueue({ concurrency: atOnce });
  let running: Promise<void> | undefined;
  let again = false;
  let closed = false;

  async function journalOf(org: string) {
    let known = journals.get(org);
    if (!known) {
      const hooks = new Map<string, Hook>();
      const journal = await options.openJournal<HookChange>({
        name: `${org}/-webhooks`,
        apply({ change, at }) {
          if (change.kind === 'removed') hooks.delete(change.id);
          else {
            const { kind: _, ...rest } = change;
            hooks.set(change.id, { ...rest, secret: unseal(options.key, change.secret), createdAt: at, from: 'api' });
          }
        },
      });
      known = { journal, hooks };
      journals.set(org, known);
    }
    await known.journal.catchUp();
    return known;
  }

  async function hooksOf(org: string): Promise<readonly Hook[]> {
    const { hooks } = await journalOf(org);
    const configured = options.configured(org).map(
      (one): Hook => ({
        ...one,
        id: `config-${createHmac('sha256', 'webhook').update(one.url).digest('hex').slice(0, 12)}`,
        createdAt: '',
        from: 'configuration',
      }),
    );
    return [...configured, ...hooks.values()];
  }

  const cursorKey = (org: string, hook: string, repository: string): string => `cursor ${org} ${hook} ${repository}`;
  const deliveryKey = ({ org, hook, id }: Pick<Delivery, 'org' | 'hook' | 'id'>): string =>
    `delivery ${org} ${hook} ${id}`;

  /** By key: of those that are kept for a week most were delivered long ago, and reading all of them each time would take ever longer. */
  const waiting = new Map<string, Waiting>();
  let scannedAt = Number.NEGATIVE_INFINITY;

  function note(key: string, delivery: Delivery | undefined): void {
    if (delivery?.state === 'waiting') {
      const { org, hook, at, nextAttemptAt = '' } = delivery;
      waiting.set(key, { org, hook, at, nextAttemptAt });
    } else waiting.delete(key);
  }

  function save(delivery: Delivery): void {
    const key = deliveryKey(delivery);
    facts.set(key, delivery, deliveryTtlMs);
    note(key, delivery);
  }

  /** What was left by a process that ended, perhaps another one. */
  async function scan(): Promise<void> {
    if (now() - scannedAt < scanAgainMs) return;
    scannedAt = now();
    for (const delivery of await all()) note(deliveryKey(delivery), delivery);
  }

  /** Unless another process was faster. */
  async function attemptIfDue(key: string, hook: Hook): Promise<void> {
    const delivery = (await facts.get(key)) as Delivery | undefined;
    note(key, delivery);
    if (delivery && isDue(waiting.get(key), now())) await attempt(delivery, hook);
  }

  /** A webhook hears of what happens from its creation on. */
  async function begin(org: string, hook: Hook): Promise<void> {
    for (const repository of options.repositories(org)) {
      const key = cursorKey(org, hook.id, repository.name);
      if ((await facts.get(key)) !== undefined) continue;
      const hosting = options.hostingOf(repository);
      await hosting?.ready();
      facts.set(key, hosting ? await lastNumber(hosting) : 0);
    }
  }

  async function collect(org: string, hook: Hook): Promise<void> {
    for (const repository of options.repositories(org)) {
      const hosting = options.hostingOf(repository);
      if (!hosting || !isFor(hook.repositories, repository.name)) continue;
      await hosting.ready();
      const key = cursorKey(org, hook.id, repository.name);
      const cursor = await facts.get(key);
      if (typeof cursor !== 'number') {
        await begin(org, hook);
        continue;
      }
      const last = await lastNumber(hosting);
      for (let from = cursor; from < last && !closed; from = Math.min(last, from + objectsAtOnce)) {
        const to = Math.min(last, from + objectsAtOnce);
        for (const written of await writtenBetween(hosting, from, to)) {
          // A layer is no news: the image that it belongs to comes after it.
          if (written.change.action === 'upload') continue;
          const event = eventOf(written.change);
          if (hook.events.length > 0 && !hook.events.includes(event)) continue;
          save(deliveryOf(org, hook, repository, written, event));
        }
        facts.set(key, to);
      }
    }
  }

  async function attempt(delivery: Delivery, hook: Hook): Promise<Delivery> {
    const timestamp = String(Math.floor(now() / 1000));
    const signed = createHmac('sha256', hook.secret)
      .update(`${delivery.id}.${timestamp}.${delivery.payload}`)
      .digest('base64');
    let status: number | undefined;
    let error: string | undefined;
    try {
      const reply = await options.fetch(hook.url, {
        method: 'POST',
        headers: {
          'content-type': 'application/json',
          'user-agent': 'larder-webhooks',
          'webhook-id': delivery.id,
          'webhook-timestamp': timestamp,
          'webhook-signature': `v1,${signed}`,
        },
        body: delivery.payload,
      });
      status = reply.status;
      await reply.body?.cancel();
      if (status < 200 || status > 299) error = `answered ${status}`;
    } catch (failure) {
      error = failure instanceof Error ? failure.message : String(failure);
    }
    const attempts = delivery.attempts + 1;
    const { nextAttemptAt: _, error: __, status: ___, ...rest } = delivery;
    const wait = waitsMs[attempts - 1];
    const done: Delivery = {
      ...rest,
      attempts,
      state: error === undefined ? 'delivered' : wait === undefined ? 'failed' : 'waiting',
      ...(status === undefined ? {} : { status }),
      ...(error === undefined ? {} : { error }),
      ...(error === undefined || wait === undefined ? {} : { nextAttemptAt: new Date(now() + wait).toISOString() }),
    };
    save(done);
    return done;
  }

  async function all(): Promise<readonly Delivery[]> {
    const found: Delivery[] = [];
    for await (const [key, value] of facts.entries()) if (key.startsWith('delivery ')) found.push(value as Delivery);
    return found;
  }

  async function pumpOnce(): Promise<void> {
    const hooks = new Map<string, Hook>();
    for (const org of options.orgs()) {
      for (const hook of await hooksOf(org)) {
        hooks.set(`${org} ${hook.id}`, hook);
        await collect(org, hook);
      }
    }
    if (hooks.size === 0) return;
    await scan();
    const due = [...waiting]
      .filter(([, one]) => isDue(one, now()))
      .sort(([, one], [, other]) => (one.at < other.at ? -1 : 1));
    for (const [key, one] of due) {
      const hook = hooks.get(`${one.org} ${one.hook}`);
      if (hook)
        queue
          .add(() => attemptIfDue(key, hook))
          .catch((error: unknown) => publish('fault', { where: 'webhooks', error }));
      else {
        facts.delete(key);
        waiting.delete(key);
      }
    }
    await queue.onIdle();
  }

  async function pump(): Promise<void> {
    if (running) {
      again = true;
      return running;
    }
    running = (async () => {
      do {
        again = false;
        await pumpOnce();
      } while (again && !closed);
    })().finally(() => {
      running = undefined;
    });
    return running;
  }

  const pumpLater = (): void => {
    if (!closed) pump().catch((error: unknown) => publish('fault', { where: 'webhooks', error }));
  };
  /** Said once an hour for each version, however often it is asked for. */
  const blocked = new LRUCache<string, true>({ max: mostBlocked, ttl: blockedAgainMs });

  async function tellBlocked({ repository, name, version, rule, reason }: Events['policy.block']): Promise<void> {
    const key = `${repository} ${name} ${version} ${rule}`;
    if (blocked.has(key)) return;
    blocked.set(key, true);
    const [org = '', inOrg = ''] = repository.split('/');
    const at = new Date(now()).toISOString();
    for (const hook of await hooksOf(org)) {
      if (!isFor(hook.repositories, inOrg) || (hook.events.length > 0 && !hook.events.includes('block'))) continue;
      const id = `${hook.id}.${inOrg}.block.${createHash('sha256')
        .update(`${key} ${at.slice(0, 13)}`)
        .digest('hex')
        .slice(0, 16)}`;
      const payload = {
        id,
        event: 'block',
        at,
        org,
        repository: inOrg,
        package: name,
        versions: [version],
        rule,
        reason,
      };
      save({
        id,
        org,
        hook: hook.id,
        event: 'block',
        at,
        attempts: 0,
        state: 'waiting',
        payload: JSON.stringify(payload),
      });
    }
    pumpLater();
  }

  const subscriptions = [
    subscribe('hosted.change', pumpLater),
    subscribe('policy.block', (event) => {
      if (!closed) tellBlocked(event).catch((error: unknown) => publish('fault', { where: 'webhooks', error }));
    }),
  ];
  const timer = setInterval(pumpLater, options.everyMs ?? 5_000);
  timer.unref();

  async function existing(org: string, id: string): Promise<Hook> {
    const hook = (await hooksOf(org)).find((one) => one.id === id);
    if (hook) return hook;
    throw new Problem('not_found', `There is no webhook ${id} in ${org}.`);
  }

  return {
    async list(org) {
      return (await hooksOf(org)).map(told);
    },
    async create(org, webhook, by) {
      options.check(webhook.url);
      const { journal, hooks } = await journalOf(org);
      const id = randomBytes(8).toString('hex');
      const change: HookChange = { kind: 'created', id, ...webhook, secret: seal(options.key, webhook.secret) };
      await journal.append(id, by, () => change);
      const hook = hooks.get(id);
      if (!hook) throw new Error(`The webhook ${id} is not there although it was written.`);
      await begin(org, hook);
      return told(hook);
    },
    async remove(org, id, by) {
      const hook = await existing(org, id);
      if (hook.from === 'configuration')
        throw new Problem('conflict', `${id} stands in the configuration: take it out there.`);
      const { journal } = await journalOf(org);
      await journal.append(id, by, () => ({ kind: 'removed', id }));
    },
    async deliveries(org, id) {
      await existing(org, id);
      const own = (await all()).filter((one) => one.org === org && one.hook === id);
      return own.sort((one, other) => (one.at < other.at ? 1 : -1)).map(toldDelivery);
    },
    async redeliver(org, id, delivery) {
      const hook = await existing(org, id);
      const found = (await facts.get(deliveryKey({ org, hook: id, id: delivery }))) as Delivery | undefined;
      if (!found) throw new Problem('not_found', `There is no delivery ${delivery}; they are kept for seven days.`);
      return toldDelivery(await attempt(found, hook));
    },
    async *history(org, before) {
      const { journal } = await journalOf(org);
      for await (const { change, ...rest } of journal.history(before)) {
        const action = change.kind === 'created' ? 'webhook' : 'webhook-gone';
        const name = change.kind === 'created' ? `${change.id} to ${new URL(change.url).host}` : change.id;
        yield { ...rest, change: { action, name } };
      }
    },
    pump,
    async close() {
      closed = true;
      clearInterval(timer);
      for (const unsubscribe of subscriptions) unsubscribe();
      queue.clear();
      await running?.catch(() => {});
    },
  };
}

/** In objects after `from`, up to and with `to`; the oldest first. */
async function writtenBetween(hosting: Hosting, from: number, to: number): Promise<Written<HostedChange>[]> {
  const found: Written<HostedChange>[] = [];
  for await (const written of hosting.history(to + 1)) {
    if (written.number <= from) break;
    found.push(written);
  }
  return found.reverse();
}

async function lastNumber(hosting: Hosting): Promise<number> {
  for await (const { number } of hosting.history()) return number;
  return 0;
}

const isFor = (patterns: readonly string[], name: string): boolean =>
  patterns.length === 0 || patterns.some((pattern) => matchesName(pattern, name));

function eventOf({ action }: HostedChange): EventKind {
  if (action === 'unyank') return 'yank';
  return action === 'delete' || action === 'yank' || action === 'promote' || action === 'admin' ? action : 'publish';
}

function deliveryOf(
  org: string,
  hook: Hook,
  repository: Repository,
  { number, index, at, by, change }: Written<HostedChange>,
  event: EventKind,
): Delivery {
  const id = `${hook.id}.${repository.name}.${number}.${index}`;
  const payload = {
    id,
    event,
    at,
    by,
    org,
    repository: repository.name,
    format: repository.format.id,
    package: change.name,
    versions: [...(change.records ?? []).map(({ version }) => version), ...(change.removes ?? [])],
    files: (change.put ?? []).map(({ path, digest, size }) => ({ path, digest, size })),
    removed: { versions: change.removes ?? [], files: change.drop ?? [] },
  };
  return { id, org, hook: hook.id, event, at, attempts: 0, state: 'waiting', payload: JSON.stringify(payload) };
}

const told = ({ id, url, events, repositories, createdAt, from }: Hook): KnownWebhook => ({
  id,
  url,
  events,
  repositories,
  createdAt,
  from,
});

function toldDelivery({ org: _, hook: __, payload: ___, ...rest }: Delivery): KnownDelivery {
  return rest;
}

/** What signs deliveries has to be known to sign them, but not to who reads a backup. AES-256-GCM. */
function seal(key: Uint8Array, secret: string): string {
  const nonce = randomBytes(12);
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  const sealed = Buffer.concat([cipher.update(secret, 'utf8'), cipher.final()]);
  return Buffer.concat([nonce, cipher.getAuthTag(), sealed]).toString('base64url');
}

function unseal(key: Uint8Array, text: string): string {
  const bytes = Buffer.from(text, 'base64url');
  try {
    const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12));
    decipher.setAuthTag(bytes.subarray(12, 28));
    return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8');
  } catch (error) {
    publish('fault', { where: 'webhooks', error });
    // Sealed with another key: what is sent is not believed, which is how it is noticed.
    return randomBytes(32).toString('hex');
  }
}
