/** Steps of the load that read: hits, misses, joins, ranges, conditions, clients that leave, and slow ones. */
import { type FormatId, formats, leastVersions } from './catalog.ts';
import { ask, baseOf, below, credentials, echoMs, type OrgId, pathOf, pickOf, readerOf, type World } from './world.ts';

/** Packages that everybody wants. */
const hotPackages = 12;
/** Packages that somebody wants now and then: more than fit into the store. */
const knownPackages = 400;

interface Place {
  readonly org: OrgId;
  readonly format: FormatId;
  readonly at: string;
  readonly headers: Readonly<Record<string, string>>;
}

function place(world: World, format = pickOf(world, formats)): Place {
  const org: OrgId = world.random() < 0.6 ? 'open' : world.random() < 0.8 ? 'acme' : 'beta';
  return { org, format, at: pathOf(org, format), headers: credentials(format, readerOf(world, org)) };
}

const version = (world: World): number => below(world, leastVersions);

async function readFile(
  world: World,
  step: string,
  index: number,
  more: object = {},
  format?: FormatId,
): Promise<void> {
  const { org, format: chosen, at, headers } = place(world, format);
  const file = world.catalogs[chosen].file(index, version(world));
  await ask(
    world,
    step,
    org,
    chosen,
    { path: at + file.path, headers, expect: file.content, ...more },
    { statuses: [200], upstream: chosen },
  );
}

export async function hit(world: World): Promise<void> {
  await readFile(world, 'hit', below(world, hotPackages));
}

export async function read(world: World): Promise<void> {
  await readFile(world, 'read', below(world, knownPackages));
}

export async function miss(world: World): Promise<void> {
  await readFile(world, 'miss', world.fresh());
}

/** Large files are few, and some of them stay in demand. */
export async function large(world: World): Promise<void> {
  const index = 3 + 11 * below(world, 5);
  const { org, at, headers } = place(world, 'generic');
  const file = world.catalogs.generic.file(index, 0);
  await ask(
    world,
    'large',
    org,
    'generic',
    { path: at + file.path, headers, expect: file.content },
    { statuses: [200], upstream: 'generic' },
  );
}

export async function page(world: World): Promise<void> {
  const index = world.random() < 0.7 ? below(world, hotPackages) : below(world, knownPackages);
  const { org, format, at, headers } = place(world);
  const one = pickOf(world, world.catalogs[format].pages(index));
  const base = baseOf(world, org, format);
  const path = at + one.path;
  const asked = { ...headers, ...(one.accept === undefined ? {} : { accept: one.accept }) };
  const nowMs = (): number => world.nowMs();
  const answer = await ask(
    world,
    'page',
    org,
    format,
    { path, headers: asked },
    { statuses: [200], upstream: format, check: (body) => one.check(body, base, nowMs()) },
  );
  const { etag } = answer.headers;
  if (answer.status !== 200 || etag === undefined || world.random() < 0.5) return;
  await ask(
    world,
    'condition',
    org,
    format,
    { path, headers: { ...asked, 'if-none-match': etag } },
    { statuses: [304, 200], upstream: format, check: (body) => one.check(body, base, nowMs()) },
  );
}

export async function condition(world: World): Promise<void> {
  const { org, format, at, headers } = place(world);
  const file = world.catalogs[format].file(below(world, hotPackages), version(world));
  const path = at + file.path;
  // Who may push a layer hears only of those that were pushed: what lies in a cache may be gone tomorrow.
  const statuses = org === 'beta' && format === 'oci' ? [200, 404] : [200];
  const first = await ask(
    world,
    'head',
    org,
    format,
    { path, headers, method: 'HEAD' },
    { statuses, upstream: format },
  );
  const { etag } = first.headers;
  if (first.status !== 200) return;
  const told = first.headers['content-length'];
  // What an upstream in trouble says of a length may be wrong, and nobody knows better before the end.
  const isCalm = !world.fakes[format].troubled(echoMs);
  if (isCalm && told !== undefined && Number(told) !== file.content.size) {
    world.ledger.violation(`head: ${path} has ${told} bytes instead of ${file.content.size}`);
  }
  if (etag === undefined) return;
  await ask(
    world,
    'condition',
    org,
    format,
    { path, headers: { ...headers, 'if-none-match': etag }, expect: file.content },
    // It may have been evicted meanwhile.
    { statuses: [304, 200], upstream: format },
  );
}

function rangeIn(world: World, size: number): string {
  const first = below(world, size);
  const kind = below(world, 4);
  if (kind === 0) return `bytes=${first}-`;
  if (kind === 1) return `bytes=-${1 + below(world, size)}`;
  return `bytes=${first}-${Math.min(size + 10, first + below(world, size))}`;
}

/** Formats whose files may be asked for in parts without being stored first. */
export async function range(world: World): Promise<void> {
  const { org, format, at, headers } = place(world);
  const index = world.random() < 0.5 ? below(world, hotPackages) : below(world, knownPackages);
  const file = world.catalogs[format].file(index, version(world));
  await ask(
    world,
    'range',
    org,
    format,
    { path: at + file.path, headers: { ...headers, range: rangeIn(world, file.content.size) }, expect: file.content },
    { statuses: [206, 200], upstream: format },
  );
}

/** Many want the same thing at once that nobody wanted before: upstream is asked once. */
export async function join(world: World): Promise<void> {
  const { org, format, at, headers } = place(world);
  const index = world.fresh();
  const file = world.catalogs[format].file(index, 0);
  const fake = world.fakes[format];
  const before = fake.asked(file.at);
  const count = 3 + below(world, 12);
  const answers = await Promise.all(
    Array.from({ length: count }, () =>
      ask(
        world,
        'join',
        org,
        format,
        { path: at + file.path, headers, expect: file.content },
        { statuses: [200], upstream: format },
      ),
    ),
  );
  const asked = fake.asked(file.at) - before;
  const whole = answers.every(({ status }) => status === 200);
  // A registry is shown no token before it has asked for one.
  const most = format === 'oci' ? 2 : 1;
  // Also what went wrong just now: a retry is another question.
  const isCalm = !fake.troubled(1e9);
  if (isCalm && whole && asked > most)
    world.ledger.violation(`join: ${file.at} of ${format} was asked for ${asked} times`);
}

/** Parts of a large file that is still coming, clients that come later, and one that leaves. */
export async function underWay(world: World): Promise<void> {
  const { org, at, headers } = place(world, 'generic');
  const index = 3 + 11 * (100 + world.fresh());
  const file = world.catalogs.generic.file(index, 0);
  const path = at + file.path;
  const expected = { statuses: [200], upstream: 'generic' as const };
  const step = (more: object, statuses: readonly number[] = [200]): Promise<unknown> =>
    ask(
      world,
      'under way',
      org,
      'generic',
      { path, headers, expect: file.content, ...more },
      { ...expected, statuses },
    );
  const parts = Array.from({ length: 4 }, () =>
    step({ headers: { ...headers, range: rangeIn(world, file.content.size) } }, [206, 200]),
  );
  await Promise.all([
    step({}),
    ...parts,
    step({ method: 'HEAD', expect: undefined }),
    step({ leaveAfter: below(world, file.content.size) }),
    step({ pauseMs: 5 }),
  ]);
}

/** A client that leaves in the middle of something, stored or not. */
export async function leave(world: World): Promise<void> {
  const isLarge = world.random() < 0.5;
  const { org, format, at, headers } = place(world, isLarge ? 'generic' : undefined);
  const isNew = world.random() < 0.5;
  const index = isLarge
    ? 3 + 11 * (isNew ? 5000 + world.fresh() : below(world, 5))
    : isNew
      ? world.fresh()
      : below(world, knownPackages);
  const file = world.catalogs[format].file(index, isLarge ? 0 : version(world));
  await ask(
    world,
    'leave',
    org,
    format,
    {
      path: at + file.path,
      headers,
      expect: file.content,
      leaveAfter: world.random() < 0.2 ? -1 : below(world, file.content.size),
    },
    { statuses: [200], upstream: format },
  );
}

export async function slow(world: World): Promise<void> {
  const { org, at, headers } = place(world, 'generic');
  const file = world.catalogs.generic.file(3 + 11 * below(world, 5), 0);
  await ask(
    world,
    'slow',
    org,
    'generic',
    { path: at + file.path, headers, expect: file.content, pauseMs: 5 + below(world, 60) },
    { statuses: [200], upstream: 'generic' },
  );
}

export async function missing(world: World): Promise<void> {
  const { org, format, at, headers } = place(world);
  await ask(
    world,
    'missing',
    org,
    format,
    { path: at + world.catalogs[format].missing, headers },
    { statuses: [404], upstream: format },
  );
}
