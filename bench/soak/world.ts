/** What every step of the load works with, and how an answer is judged. */
import type { Content } from './bytes.ts';
import type { Catalog, FormatId } from './catalog.ts';
import type { Answer, Client, Wish } from './client.ts';
import type { Fake } from './fakes.ts';
import type { Ledger } from './ledger.ts';

/** `open`: anybody reads. `acme`: members read, some publish. `beta`: another one, with limits. */
export type OrgId = 'open' | 'acme' | 'beta';

export interface Tokens {
  /** Publishes and deletes in `acme`. */
  readonly alice: string;
  /** Only reads in `acme`. */
  readonly rita: string;
  /** Administers `acme`. */
  readonly adam: string;
  /** Publishes in `beta`. */
  readonly bob: string;
}

export interface World {
  readonly client: Client;
  readonly catalogs: Readonly<Record<FormatId, Catalog>>;
  readonly fakes: Readonly<Record<FormatId, Fake>>;
  readonly ledger: Ledger;
  readonly tokens: Tokens;
  readonly random: () => number;
  readonly nowMs: () => number;
  readonly seed: number;
  readonly origin: string;
  /** Part of every name that must not leave. */
  readonly secret: string;
  /** A number that nobody had before: a package that nobody asked for. */
  fresh(): number;
  /** Whether the org's limits may refuse a request now and then. */
  limited(org: OrgId): boolean;
}

/** Requests below it belong to no repository. */
export const apiPath = '/api/v1/orgs/';

export const wrongToken = 'lrd_0000000000000000000000000000000000000';

/** How long after the last fault of an upstream Larder may still be careful with it: time-outs, retries, and the breaker. */
export const echoMs = 30_000;

export function pathOf(org: OrgId, format: FormatId): string {
  return format === 'oci' ? `/v2/${org}/oci` : `/${org}/${format}`;
}

export function baseOf(world: World, org: OrgId, format: FormatId): string {
  return `${world.origin}${pathOf(org, format)}`;
}

export function credentials(format: FormatId, token: string | undefined): Readonly<Record<string, string>> {
  if (token === undefined) return {};
  return format === 'npm' || format === 'oci'
    ? { authorization: `Bearer ${token}` }
    : { authorization: `Basic ${Buffer.from(`__token__:${token}`).toString('base64')}` };
}

export function readerOf(world: World, org: OrgId): string | undefined {
  return org === 'open' ? undefined : org === 'acme' ? world.tokens.rita : world.tokens.bob;
}

export interface Expected {
  /** Any of these is right. */
  readonly statuses: readonly number[];
  /** Upstream that may be in trouble; none: there is nothing to excuse. */
  readonly upstream?: FormatId;
  /** What is wrong with a body of status 200. */
  readonly check?: (body: Buffer) => string | undefined;
}

const trouble = [502, 503, 504];

function excused(world: World, org: OrgId, { upstream, statuses }: Expected, answer: Answer): boolean {
  if (answer.status === 429 && world.limited(org)) return true;
  if (upstream === undefined || !world.fakes[upstream].troubled(echoMs)) return false;
  // Registries of images say of what is refused what they say of what is not there.
  if (upstream === 'oci' && answer.status === 403) return true;
  // What is said of a range is as good as the length that upstream told, until the end is here.
  return trouble.includes(answer.status) || (answer.status === 416 && statuses.includes(206));
}

/** Sends it, counts it, judges it. */
export async function ask(
  world: World,
  step: string,
  org: OrgId,
  format: FormatId,
  wish: Wish,
  expected: Expected,
): Promise<Answer> {
  const { ledger, client } = world;
  const answer = await client.ask({ ...wish, keep: wish.keep ?? expected.check !== undefined });
  ledger.add(wish.path.startsWith(apiPath) ? '-' : `${org}/${format}`, wish, answer);
  const what = `${step}: ${wish.method ?? 'GET'} ${wish.path} of ${org}, ${answer.status} ${answer.headers['x-request-id'] ?? ''} after ${Math.round(answer.ms)} ms`;
  const fault = faultIn(world, org, wish, expected, answer);
  if (fault !== undefined) ledger.violation(`${what}: ${fault}`);
  return answer;
}

function faultIn(world: World, org: OrgId, wish: Wish, expected: Expected, answer: Answer): string | undefined {
  const troubled = expected.upstream !== undefined && world.fakes[expected.upstream].troubled(echoMs);
  if (answer.left) {
    // What it saw until then was right, unless it is a download that is about to prove wrong.
    return answer.wrong !== undefined && !troubled ? answer.wrong : undefined;
  }
  if (answer.status === 0) return `no answer (${answer.error})`;
  if (!answer.complete) {
    return troubled
      ? undefined
      : `cut after ${answer.bytes} bytes (${answer.error ?? 'no error'}), with nothing wrong upstream`;
  }
  if (answer.wrong !== undefined && answer.status === 206 && troubled) {
    // A part that ends before its file does is sent before the digest of the whole is known.
    world.ledger.early += 1;
    return undefined;
  }
  if (answer.wrong !== undefined) return `WRONG BYTES: ${answer.wrong}`;
  if (answer.lied !== undefined && !troubled) return answer.lied;
  if (!expected.statuses.includes(answer.status)) {
    if (excused(world, org, expected, answer)) return undefined;
    return `status ${answer.status} instead of ${expected.statuses.join(' or ')}${answer.body.length > 0 ? ` (${answer.body.toString().slice(0, 250)})` : ''}`;
  }
  if (answer.status === 200 && expected.check && (wish.method ?? 'GET') === 'GET') {
    try {
      const said = expected.check(answer.body);
      if (said !== undefined) return `WRONG DOCUMENT: ${said}`;
    } catch (error) {
      return `WRONG DOCUMENT: ${String(error)}: ${answer.body.toString().slice(0, 200)}`;
    }
  }
  return undefined;
}

export function pickOf<T>(world: World, list: readonly T[]): T {
  const found = list[Math.floor(world.random() * list.length)];
  if (found === undefined) throw new Error('There is nothing to pick from.');
  return found;
}

export function below(world: World, limit: number): number {
  return Math.floor(world.random() * limit);
}

export type { Content };
