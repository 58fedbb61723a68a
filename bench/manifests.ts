/** Manifests of a few small images over and over, asked for as clients of registries do it. */
import { type Arena, isPeer } from './arena.ts';
import type { Contender, Outcome, Round, Turn } from './contest.ts';
import { acceptedManifests, smallImages } from './image-bodies.ts';
import { type Load, type Step, wrk } from './load.ts';
import { expectBody, expectStored, type Probe, probe, sha256 } from './probe.ts';
import type { ManifestRow } from './rows.ts';
import { type Server, watched } from './server.ts';

/** What each image's manifest is at the upstream. */
interface Truth {
  readonly name: string;
  readonly sha256: string;
}

interface Lane {
  readonly contender: Contender;
  readonly server: Server;
  readonly load: Load;
  readonly manifests: readonly string[];
}

export async function measureManifests(row: ManifestRow, arena: Arena): Promise<Outcome[]> {
  const truths: Truth[] = [];
  for (const name of smallImages) {
    const { body } = await expectBody(`${arena.upstream.at('images')}/${name}/manifests/1`, {});
    truths.push({ name, sha256: sha256(body) });
  }
  const lanes: Lane[] = [];
  for (const contender of ['larder' as const, ...row.contest.against.map((other) => other.contender)]) {
    if (isPeer(contender)) lanes.push(await laneOf(row, contender, await arena.server(contender), truths, arena));
  }
  const asked = new Map<Contender, number>();
  const answered = new Map<Contender, number>();
  const rounds: Round[] = [];
  for (const { load } of lanes) await wrk({ ...load, seconds: Math.min(1, load.seconds) });
  for (let n = 1; n <= arena.rounds; n++) {
    arena.say(`${row.contest.title}: round ${n} of ${arena.rounds}`);
    const round = new Map<Contender, Turn>();
    for (const { contender, server, load, manifests } of lanes) {
      const before = await arena.upstream.finalCount();
      const { result, busy } = await watched(server, () => wrk(load));
      const passed = (await arena.upstream.finalCount()) - before;
      const value = (result.requestsPerSecond * manifests.length) / (load.steps?.length ?? 1);
      asked.set(contender, (asked.get(contender) ?? 0) + passed);
      answered.set(contender, (answered.get(contender) ?? 0) + value * load.seconds);
      round.set(contender, { value, busy });
    }
    rounds.push(round);
  }
  for (const { manifests, load } of lanes) await expectManifests(manifests, truths, load.headers);
  const strays = asked.get('larder') ?? 0;
  if (strays > 0) throw new Error(`Larder asked the upstream ${strays} times although everything was warm.`);
  const notes = lanes.map(({ contender, load, manifests }) => {
    const share = (asked.get(contender) ?? 0) / (answered.get(contender) ?? 1);
    const requests = (load.steps?.length ?? 0) / manifests.length;
    return `${contender} ${requests} request${requests === 1 ? '' : 's'} each, ${share.toFixed(1)} to upstream`;
  });
  return [{ contest: row.contest, rounds, note: notes.join('; ') }];
}

/** Everything is fetched once, and once more to see what an answer is when it is warm. */
async function laneOf(
  row: ManifestRow,
  contender: Contender,
  server: Server,
  truths: readonly Truth[],
  arena: Arena,
): Promise<Lane> {
  const base = server.at('images');
  const challenge = await probe(`${base}/`);
  const tokenUrl = tokenUrlOf(challenge);
  const headers: Record<string, string> = { accept: acceptedManifests };
  if (tokenUrl) headers.authorization = `Bearer ${await tokenFrom(tokenUrl, smallImages[0] ?? '')}`;
  const ofTag = truths.map(({ name }) => `${base}/${name}/manifests/1`);
  const ofDigest = truths.map(({ name, sha256 }) => `${base}/${name}/manifests/sha256:${sha256}`);
  for (let n = 0; n < 3; n++) for (const urls of [ofTag, ofDigest]) await expectManifests(urls, truths, headers);
  const manifests = row.by === 'tag' ? ofTag : ofDigest;

  const steps: Step[] = [];
  const answers: Probe[] = [];
  let refusals = 0;
  for (const [n, url] of manifests.entries()) {
    if (row.token === 'each') {
      steps.push({ path: pathOf(`${base}/`), bare: true });
      answers.push(challenge);
      if (tokenUrl) {
        const scoped = scopedTo(tokenUrl, truths[n]?.name ?? '');
        refusals++;
        steps.push({ path: pathOf(scoped), bare: true });
        answers.push(await expectBody(scoped, {}));
      }
    }
    steps.push({ path: pathOf(url) });
    answers.push(await expectStored(url, {}, { headers }));
  }
  const average = (of: (answer: Probe) => number): number =>
    answers.reduce((sum, answer) => sum + of(answer), 0) / answers.length;
  const load: Load = {
    url: `${base}/`,
    steps,
    refusals,
    headers,
    connections: row.connections,
    seconds: arena.seconds,
    headBytes: average((answer) => answer.headBytes),
    bodyBytes: average((answer) => answer.body.length),
    slackBytes: 48,
  };
  return { contender, server, load, manifests };
}

async function expectManifests(
  urls: readonly string[],
  truths: readonly Truth[],
  headers: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [n, url] of urls.entries()) await expectBody(url, { sha256: truths[n]?.sha256 ?? '' }, { headers });
}

/** Where a server that wants a token has it fetched (RFC 6750 as Docker's token authentication uses it). `undefined`: it wants none. */
function tokenUrlOf({ status, headers }: Probe): URL | undefined {
  if (status === 200) return undefined;
  const [, realm = '', service = ''] =
    /^Bearer realm="([^"]+)",service="([^"]+)"/.exec(headers['www-authenticate'] ?? '') ?? [];
  if (status !== 401 || !URL.canParse(realm)) throw new Error(`/v2/ answered ${status} without a challenge.`);
  const url = new URL(realm);
  url.searchParams.set('service', service);
  return url;
}

function scopedTo(tokenUrl: URL, name: string): string {
  const url = new URL(tokenUrl);
  url.searchParams.set('scope', `repository:${name}:pull`);
  return url.href;
}

async function tokenFrom(tokenUrl: URL, name: string): Promise<string> {
  const { body } = await expectBody(scopedTo(tokenUrl, name), {});
  const { token } = JSON.parse(body.toString()) as { token?: string };
  if (!token) throw new Error(`${tokenUrl.href} gave no token.`);
  return token;
}

function pathOf(url: string): string {
  const { pathname, search } = new URL(url);
  return pathname + search;
}
