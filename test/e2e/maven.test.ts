/** Maven repositories through the whole server: what trouble at an upstream becomes, checksums, and several upstreams as one. */
import { describe, expect, it } from 'vitest';
import { collect, hashOf, synthetic } from '../support/bytes.ts';
import { gate } from '../support/fake-upstream.ts';
import type { Answer } from '../support/http.ts';
import { type MavenScene, type MavenSceneOptions, mavenScene } from '../support/maven-scene.ts';
import type { ChecksumAlgorithm, Fault, FileKind, PublishedArtifact } from '../support/maven-upstream.ts';
import { eventually } from '../support/wait.ts';

const library = { group: 'com.acme', artifact: 'lib', version: '1.0.0' };

function expectProblem(answer: Answer, status: number): void {
  expect(answer.status).toBe(status);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.json()).toMatchObject({
    title: expect.stringMatching(/\w/),
    status,
    detail: expect.stringMatching(/\w/),
  });
  expect(answer.text()).not.toContain('127.0.0.1');
  if (status === 503) expect(Number(answer.headers['retry-after'])).toBeGreaterThan(0);
}

interface Trouble {
  readonly fault: Fault;
  /** What a client gets for a file with this fault. */
  readonly status: number;
}

const troubles: readonly Trouble[] = [
  { fault: '401', status: 502 },
  { fault: '403', status: 502 },
  { fault: '429', status: 503 },
  { fault: '500', status: 503 },
  { fault: '503', status: 503 },
  { fault: 'stall', status: 503 },
  { fault: 'sign-in page', status: 502 },
  { fault: 'wrong digest', status: 502 },
  { fault: 'cut', status: 503 },
];

interface Asked {
  readonly what: string;
  readonly faulty: FileKind;
  readonly path: (artifact: PublishedArtifact) => string;
  /** Faults that can't be told from an honest answer here, and why. */
  readonly unseen?: Partial<Record<Fault, string>>;
  /** Not kept, since the file it is about is not there. */
  readonly passedOn?: boolean;
}

const asked: readonly Asked[] = [
  { what: 'a jar', faulty: 'jar', path: ({ jar }) => jar },
  { what: 'a pom', faulty: 'pom', path: ({ pom }) => pom },
  {
    what: 'a checksum asked for by itself',
    faulty: 'checksum',
    path: ({ jar }) => `${jar}.sha1`,
    passedOn: true,
    unseen: { 'wrong digest': 'a checksum has no checksum' },
  },
  { what: 'the checksum that a jar is held against', faulty: 'checksum', path: ({ jar }) => jar },
  {
    what: 'metadata',
    faulty: 'metadata',
    path: ({ metadata }) => metadata,
    unseen: { 'wrong digest': 'metadata is served with checksums of its own' },
  },
  {
    what: 'metadata whose checksum is asked for',
    faulty: 'metadata',
    path: ({ metadata }) => `${metadata}.sha1`,
    unseen: { 'wrong digest': 'metadata is served with checksums of its own' },
  },
];

const table = asked.flatMap((row) =>
  troubles
    .filter(({ fault }) => row.unseen?.[fault] === undefined)
    .map((trouble) => ({ ...row, ...trouble, name: `${row.what}: ${trouble.fault} is ${trouble.status}` })),
);

/** Nobody waits long for an upstream that is silent; every other has the time that a busy machine takes. */
const patienceFor = (fault: Fault): MavenSceneOptions => (fault === 'stall' ? { upstream: { timeoutMs: 300 } } : {});

/** Until upstream's Retry-After is over there is no other answer. */
async function healed(scene: MavenScene, path: string, fault: Fault): Promise<Answer> {
  if (fault !== '429') return await scene.get(path);
  return await eventually('the wait is over', async () => {
    const answer = await scene.get(path);
    return answer.status === 503 ? undefined : answer;
  });
}

/** Side by side: giving up on a connection that is cut again and again takes seconds. */
describe.concurrent('trouble at the upstream', () => {
  it.for(table)('$name, nothing wrong is kept, and the next good answer heals it', async (row, { onTestFinished }) => {
    const scene = await mavenScene(patienceFor(row.fault), onTestFinished);
    const path = row.path(scene.central.publish(library));
    scene.central.misbehave(row.faulty, row.fault);
    expectProblem(await scene.get(path), row.status);
    scene.central.heal();
    const answer = await healed(scene, path, row.fault);
    expect(answer.status).toBe(200);
    expect(answer.body).toEqual(scene.central.bytes(path));
    await scene.settled(path);
    if (row.passedOn) return;
    await scene.central.upstream.stop();
    expect((await scene.get(path)).body).toEqual(scene.central.bytes(path));
  });

  it.for(asked.filter(({ what }) => /^a /.test(what) || what === 'metadata'))(
    'what is not there is 404 for $what, and only then',
    async (row, { onTestFinished }) => {
      const scene = await mavenScene({ source: { negativeTtl: '0s' } }, onTestFinished);
      const path = row.path(scene.central.publish(library));
      for (const fault of ['404', '410'] as const) {
        scene.central.misbehave(() => true, fault);
        expectProblem(await scene.get(path), 404);
      }
      scene.central.heal();
      expect((await scene.get(path)).body).toEqual(scene.central.bytes(path));
    },
  );

  it('an upstream that can not be reached is 503, also for what it might not have', async ({ onTestFinished }) => {
    const scene = await mavenScene({}, onTestFinished);
    await scene.central.upstream.stop();
    for (const path of ['/com/acme/lib/1.0/lib-1.0.jar', '/com/acme/lib/maven-metadata.xml', '/a/b/1/b-1.pom.sha1'])
      expectProblem(await scene.get(path), 503);
  });

  it.for(['wrong digest', 'cut'] as const)(
    'a big jar with this fault never reaches its end: %s',
    async (fault, { onTestFinished }) => {
      const scene = await mavenScene(patienceFor(fault), onTestFinished);
      const jar = collect(synthetic(3_000_000));
      const published = scene.central.publish({ ...library, jar });
      scene.central.misbehave('jar', fault);
      const broken = await scene.get(published.jar);
      expect(broken.status === 200 && broken.complete).toBe(false);
      expect(broken.body.length).toBeLessThan(jar.length);
      scene.central.heal();
      const answer = await scene.get(published.jar);
      expect(answer.complete).toBe(true);
      expect(hashOf(answer.body, 'sha256')).toBe(hashOf(jar, 'sha256'));
    },
  );

  it.for(troubles.filter(({ fault }) => fault !== 'wrong digest'))(
    'stored metadata stands in for it: $fault',
    async ({ fault }, { onTestFinished }) => {
      const scene = await mavenScene(
        { ...patienceFor(fault), source: { ttl: '0s', staleWhileRevalidate: '0s' } },
        onTestFinished,
      );
      const { metadata } = scene.central.publish(library);
      const before = await scene.get(metadata);
      expect(before.status).toBe(200);
      scene.central.publish({ ...library, version: '1.1.0' });
      scene.central.misbehave('metadata', fault);
      const stale = await scene.get(metadata);
      expect(stale.status).toBe(200);
      expect(stale.body).toEqual(before.body);
      expect((await scene.get(`${metadata}.sha1`)).text()).toBe(hashOf(before.body, 'sha1'));
      scene.central.heal();
      expect((await healed(scene, metadata, fault)).status).toBe(200);
      await eventually('the new version is seen', async () => (await scene.get(metadata)).text().includes('1.1.0'));
    },
  );

  it.for(['.jar', '.pom', '.module', '-bin.tar.gz'])(
    'a sign-in page is none of these, also where nothing tells digests: %s',
    async (suffix, { onTestFinished }) => {
      const scene = await mavenScene({ upstreams: [{ sidecars: [] }] }, onTestFinished);
      const files = { '-bin.tar.gz': Buffer.from('an archive') };
      const path = scene.central.publish({ ...library, gradle: true, files }).file(suffix);
      scene.central.misbehave((asked) => asked === path, 'sign-in page');
      expectProblem(await scene.get(path), 502);
      scene.central.heal();
      expect((await scene.get(path)).body).toEqual(scene.central.bytes(path));
    },
  );

  it('a stored jar needs nobody, whatever upstream has become', async ({ onTestFinished }) => {
    const scene = await mavenScene({ source: { ttl: '0s' } }, onTestFinished);
    const { jar } = scene.central.publish(library);
    const { body } = await scene.get(jar);
    await scene.settled(jar);
    scene.forget();
    scene.central.misbehave(() => true, '404');
    expect((await scene.get(jar)).body).toEqual(body);
    expect(scene.requests()).toEqual([]);
  });

  it('metadata whose checksum at upstream is of other bytes is served with the checksum of its own', async ({
    onTestFinished,
  }) => {
    const scene = await mavenScene({}, onTestFinished);
    const { metadata } = scene.central.publish(library);
    scene.central.put(`${metadata}.sha1`, Buffer.from('0'.repeat(40)));
    const { body } = await scene.get(metadata);
    expect(body).toEqual(scene.central.bytes(metadata));
    expect((await scene.get(`${metadata}.sha1`)).text()).toBe(hashOf(body, 'sha1'));
  });
});

const algorithms: readonly ChecksumAlgorithm[] = ['md5', 'sha1', 'sha256', 'sha512'];

describe('checksums', () => {
  it('are known after the file came, in every algorithm, without another request', async () => {
    const scene = await mavenScene();
    const { jar } = scene.central.publish(library);
    const { body } = await scene.get(jar);
    await scene.settled(jar);
    scene.forget();
    for (const algorithm of algorithms) {
      const answer = await scene.get(`${jar}.${algorithm}`);
      expect(answer.text()).toBe(hashOf(body, algorithm));
      expect(answer.headers['content-type']).toMatch(/^text\/plain/);
    }
    const { headers } = await scene.get(jar);
    for (const algorithm of algorithms) expect(headers[`x-checksum-${algorithm}`]).toBe(hashOf(body, algorithm));
    expect(headers.etag).toBe(`"{SHA1{${hashOf(body, 'sha1')}}}"`);
    expect(scene.requests()).toEqual([]);
  });

  it('come from upstream before the file, without the file being fetched for them', async () => {
    const scene = await mavenScene();
    const { jar } = scene.central.publish(library);
    const sha1 = hashOf(scene.central.bytes(jar), 'sha1');
    expect((await scene.get(`${jar}.sha1`)).text()).toBe(sha1);
    expect(scene.central.count(jar)).toBe(0);
    expect((await scene.get(jar)).headers['x-checksum-sha1']).toBe(sha1);
  });

  it('of a file that upstream lost are what it still says, and of nothing are 404', async () => {
    const scene = await mavenScene();
    const path = '/com/acme/lost/1.0/lost-1.0.jar';
    scene.central.put(`${path}.sha1`, Buffer.from('ab'.repeat(20)));
    expect((await scene.get(`${path}.sha1`)).text()).toBe('ab'.repeat(20));
    expectProblem(await scene.get(path), 404);
    expectProblem(await scene.get(`${path}.md5`), 404);
  });

  it.each([
    { what: 'with the name of the file behind them', options: { sidecarForm: 'named' } },
    { what: 'in capital letters and with a newline', options: { sidecarForm: 'upper' } },
    { what: 'only in SHA-256', options: { sidecars: ['sha256'] } },
    { what: 'only in SHA-512', options: { sidecars: ['sha512'] } },
    { what: 'only in MD5', options: { sidecars: ['md5'] } },
    { what: 'in headers only', options: { sidecars: [], checksumHeaders: ['sha1'] } },
    { what: 'in headers only, in SHA-256', options: { sidecars: [], checksumHeaders: ['sha256'] } },
  ] satisfies readonly {
    what: string;
    options: NonNullable<MavenSceneOptions['upstreams']>[number];
  }[])('that upstream gives $what are held against the bytes', async ({ options }) => {
    const scene = await mavenScene({ upstreams: [options] });
    const first = scene.central.publish(library);
    const second = scene.central.publish({ ...library, version: '1.1.0' });
    expect((await scene.get(first.jar)).body).toEqual(scene.central.bytes(first.jar));
    scene.central.misbehave('jar', 'wrong digest');
    expectProblem(await scene.get(second.jar), 502);
    scene.central.heal();
    expect((await scene.get(second.jar)).body).toEqual(scene.central.bytes(second.jar));
  });

  it('are bare when they are passed on, however upstream wrote them', async () => {
    for (const sidecarForm of ['named', 'upper'] as const) {
      const scene = await mavenScene({ upstreams: [{ sidecarForm }] });
      const { jar } = scene.central.publish(library);
      expect((await scene.get(`${jar}.sha1`)).text()).toBe(hashOf(scene.central.bytes(jar), 'sha1'));
    }
  });

  it('are looked for in other algorithms only where the file itself is', async () => {
    const scene = await mavenScene({ upstreams: [{}, {}] });
    const { jar } = scene.portal.publish(library);
    expect((await scene.get(jar)).status).toBe(200);
    expect(scene.central.log().sort()).toEqual([`GET ${jar}`, `GET ${jar}.sha1`]);
  });

  it('in headers save the request for their files', async () => {
    const scene = await mavenScene({ upstreams: [{ checksumHeaders: ['sha1'] }] });
    const first = scene.central.publish(library);
    const second = scene.central.publish({ ...library, version: '1.1.0' });
    await scene.get(first.jar);
    scene.forget();
    await scene.get(second.jar);
    expect(scene.requests()).toEqual([`central GET ${second.jar}`]);
  });

  it('and files that many ask for at the same time cost one request each', async () => {
    const scene = await mavenScene();
    const { jar, pom, metadata } = scene.central.publish(library);
    const paths = [jar, pom, metadata].flatMap((path) => [path, `${path}.sha1`, `${path}.md5`]);
    const answers = await Promise.all(Array.from({ length: 10 }, () => paths.map((path) => scene.get(path))).flat());
    for (const { status } of answers) expect(status).toBe(200);
    const fetches = scene.central.log().filter((request) => /\.(?:jar|pom|xml)$/.test(request));
    expect(fetches.sort()).toEqual([`GET ${jar}`, `GET ${pom}`, `GET ${metadata}`].sort());
  });

  it('may be missing altogether', async () => {
    const scene = await mavenScene({ upstreams: [{ sidecars: [] }] });
    const { jar } = scene.central.publish(library);
    const { body } = await scene.get(jar);
    expect(body).toEqual(scene.central.bytes(jar));
    await scene.settled(jar);
    expect((await scene.get(`${jar}.sha1`)).text()).toBe(hashOf(body, 'sha1'));
    scene.central.misbehave('jar', 'cut');
    const cut = scene.central.publish({ ...library, version: '1.1.0' });
    expect((await scene.get(cut.jar)).status).toBe(503);
  });

  it('of metadata are those of what is served, in every algorithm', async () => {
    const scene = await mavenScene();
    const { metadata } = scene.central.publish(library);
    const { body } = await scene.get(metadata);
    for (const algorithm of algorithms)
      expect((await scene.get(`${metadata}.${algorithm}`)).text()).toBe(hashOf(body, algorithm));
  });

  it('of metadata asked for first are those of the metadata asked for next', async () => {
    const scene = await mavenScene();
    const { metadata } = scene.central.publish(library);
    const sha1 = (await scene.get(`${metadata}.sha1`)).text();
    expect(sha1).toBe(hashOf((await scene.get(metadata)).body, 'sha1'));
  });
});

/** Headers that say when or by which way an answer came, not what it is. */
const passing = ['date', 'age', 'x-larder-cache', 'x-request-id', 'connection', 'keep-alive', 'server-timing'];

function lastingHeaders({ headers }: Answer): Record<string, unknown> {
  return Object.fromEntries(Object.entries(headers).filter(([name]) => !passing.includes(name)));
}

describe('HEAD and ranges', () => {
  it.each<readonly [string, (artifact: PublishedArtifact) => string]>([
    ['a jar', ({ jar }) => jar],
    ['a pom', ({ pom }) => pom],
    ['a checksum', ({ jar }) => `${jar}.sha1`],
    ['metadata', ({ metadata }) => metadata],
    ['the checksum of metadata', ({ metadata }) => `${metadata}.sha1`],
  ])('HEAD of %s that is stored says what GET says', async (_what, pathOf) => {
    const scene = await mavenScene();
    const artifact = scene.central.publish(library);
    const path = pathOf(artifact);
    await scene.get(artifact.jar);
    await scene.get(path);
    const get = await scene.settled(path);
    const head = await scene.head(path);
    expect(head.status).toBe(200);
    expect(lastingHeaders(head)).toEqual(lastingHeaders(get));
    expect(head.headers['content-length']).toBe(String(get.body.length));
    expect(head.body.length).toBe(0);
  });

  it('HEAD of a jar that is not stored says length and time, and fetches nothing', async () => {
    const scene = await mavenScene();
    const { jar } = scene.central.publish(library);
    const head = await scene.head(jar);
    const length = String(scene.central.bytes(jar).length);
    expect(scene.requests()).toEqual([`central HEAD ${jar}`]);
    const get = await scene.get(jar);
    expect(head.headers['content-length']).toBe(length);
    expect(get.headers['content-length']).toBe(length);
    expect(head.headers['last-modified']).toBe(get.headers['last-modified']);
    expect(head.headers['content-type']).toBe(get.headers['content-type']);
  });

  it('what HEAD found absent is not asked for again for a while', async () => {
    const scene = await mavenScene();
    const path = '/com/acme/lib/1.0.0/lib-1.0.0-sources.jar';
    expect((await scene.head(path)).status).toBe(404);
    expect((await scene.head(path)).status).toBe(404);
    expectProblem(await scene.get(path), 404);
    expect(scene.requests()).toEqual([`central HEAD ${path}`]);
  });

  it('HEAD of a literal snapshot whose time is over asks whether it changed, and says what GET says', async () => {
    const scene = await mavenScene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const { jar } = scene.central.publish({ ...library, version: '2.0-SNAPSHOT', literal: true });
    await scene.get(jar);
    const get = await scene.settled(jar);
    scene.forget();
    const head = await scene.head(jar);
    expect(lastingHeaders(head)).toEqual(lastingHeaders(get));
    expect(scene.central.upstream.requests[0]?.headers['if-none-match']).toBeDefined();
  });

  it('HEAD of a literal snapshot that upstream no longer has says what GET says', async () => {
    const scene = await mavenScene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const { jar } = scene.central.publish({ ...library, version: '2.0-SNAPSHOT', literal: true });
    await scene.get(jar);
    await scene.settled(jar);
    scene.central.misbehave('jar', '404');
    const head = await scene.head(jar);
    expect(head.status).toBe(200);
    expect(lastingHeaders(head)).toEqual(lastingHeaders(await scene.get(jar)));
  });

  it('the first bytes of a jar leave before its last ones are there', async () => {
    const scene = await mavenScene();
    const body = collect(synthetic(2_000_000));
    const { jar } = scene.central.publish({ ...library, jar: body });
    const half = gate();
    scene.central.upstream.at(jar, { body, hold: { at: 1_000_000, until: half } });
    const pieces: Buffer[] = [];
    const begun = Promise.withResolvers<void>();
    const asked = scene.ask(jar, {
      onData(piece) {
        pieces.push(piece);
        begun.resolve();
      },
    });
    await Promise.all([half.reached, begun.promise]);
    half.open();
    expect((await asked).complete).toBe(true);
    expect(hashOf(Buffer.concat(pieces), 'sha1')).toBe(hashOf(body, 'sha1'));
  });

  it('the rest of a file is given to whoever has its beginning', async () => {
    const scene = await mavenScene();
    const { jar } = scene.central.publish({ ...library, jar: collect(synthetic(200_000)) });
    const whole = await scene.get(jar);
    const since = new Date(Date.parse(whole.headers['last-modified'] ?? '') - 60_000).toUTCString();
    // Maven Resolver allows for clocks that differ by a minute; whoever's copy is older starts anew.
    const later = new Date(Date.parse(whole.headers['last-modified'] ?? '') + 60_000).toUTCString();
    const rest = await scene.get(jar, { range: 'bytes=150000-', 'if-unmodified-since': later });
    expect(rest.status).toBe(206);
    expect(rest.headers['content-range']).toBe('bytes 150000-199999/200000');
    expect(rest.body).toEqual(whole.body.subarray(150_000));
    expect((await scene.get(jar, { range: 'bytes=150000-', 'if-unmodified-since': since })).status).toBe(412);
    expect((await scene.get(jar, { range: 'bytes=200000-' })).status).toBe(416);
  });
});

const three: MavenSceneOptions = { upstreams: [{}, {}, {}] };

describe('several upstreams as one', () => {
  it('the first that has it wins, and a file of the others is found too', async () => {
    const scene = await mavenScene(three);
    const mine = scene.central.publish(library);
    scene.portal.publish({ ...library, files: { '-other.txt': Buffer.from('of another') } });
    const other = scene.corporate.publish({ ...library, group: 'com.other' });
    expect((await scene.get(mine.jar)).body).toEqual(scene.central.bytes(mine.jar));
    expect((await scene.get(other.jar)).body).toEqual(scene.corporate.bytes(other.jar));
  });

  it('are asked at the same time whether they have it', async () => {
    const scene = await mavenScene(three);
    const { jar } = scene.corporate.publish(library);
    const gates = [scene.central, scene.portal, scene.corporate].map(({ upstream }) => {
      const held = gate();
      const { corporate } = scene;
      upstream.at(
        jar,
        upstream === corporate.upstream
          ? { holdHeaders: held, body: corporate.bytes(jar) }
          : { status: 404, holdHeaders: held },
      );
      return held;
    });
    const answer = scene.get(jar);
    // Each has its question before any of them has answered.
    await Promise.all(gates.map(({ reached }) => reached));
    for (const { open } of gates) open();
    expect((await answer).body).toEqual(scene.corporate.bytes(jar));
  });

  it('the one that had something of a group is asked first, and alone, for the rest of it', async () => {
    const scene = await mavenScene(three);
    const { pom, jar } = scene.corporate.publish(library);
    const other = scene.corporate.publish({ ...library, artifact: 'more' });
    await scene.get(pom);
    scene.forget();
    expect((await scene.get(jar)).status).toBe(200);
    expect((await scene.get(other.pom)).status).toBe(200);
    expect(scene.requests().filter((request) => !request.startsWith('corporate'))).toEqual([]);
  });

  it('a group that lies at two of them is found at both', async () => {
    const scene = await mavenScene(three);
    const here = scene.central.publish(library);
    const there = scene.portal.publish({ ...library, artifact: 'more' });
    for (const path of [here.pom, there.pom, here.jar, there.jar]) expect((await scene.get(path)).status).toBe(200);
  });

  it('what none of them has is 404, remembered for a while, and then asked for again', async () => {
    const path = '/com/acme/lib/9.9/lib-9.9.pom';
    const scene = await mavenScene(three);
    expectProblem(await scene.get(path), 404);
    scene.forget();
    expectProblem(await scene.get(path), 404);
    expectProblem(await scene.get(`${path}.sha1`), 404);
    expect(scene.requests().filter((request) => request.endsWith('.pom'))).toEqual([]);

    const forgetful = await mavenScene({ ...three, source: { negativeTtl: '0s' } });
    expectProblem(await forgetful.get(path), 404);
    forgetful.portal.publish({ ...library, version: '9.9' });
    expect((await forgetful.get(path)).status).toBe(200);
  });

  it.each(troubles.filter(({ fault }) => fault !== 'wrong digest' && fault !== 'cut'))(
    'what the first answers with trouble is never taken from the second: $fault is $status',
    async ({ fault, status }) => {
      const scene = await mavenScene({ ...three, ...patienceFor(fault) });
      const { jar, pom, metadata } = scene.portal.publish(library);
      scene.central.misbehave(() => true, fault);
      for (const path of [jar, pom, metadata, `${metadata}.sha1`]) expectProblem(await scene.get(path), status);
      expect(scene.portal.count(jar, 'GET')).toBe(0);
      scene.central.heal();
      const answer = await healed(scene, jar, fault);
      expect(answer.body).toEqual(scene.portal.bytes(jar));
    },
  );

  it('trouble of a later one is no trouble for what an earlier one has', async () => {
    const scene = await mavenScene(three);
    const { jar } = scene.central.publish(library);
    scene.portal.misbehave(() => true, '500');
    await scene.corporate.upstream.stop();
    expect((await scene.get(jar)).body).toEqual(scene.central.bytes(jar));
  });

  it('trouble of one that was never asked before is 503 for what no earlier one has', async () => {
    const scene = await mavenScene(three);
    await scene.corporate.upstream.stop();
    expectProblem(await scene.get('/com/acme/lib/1.0/lib-1.0.jar'), 503);
  });
});

function valuesIn(answer: Answer, element: string): string[] {
  return [...answer.text().matchAll(new RegExp(`<${element}>([^<]*)</${element}>`, 'g'))].map(([, text]) => text ?? '');
}

describe('metadata of several upstreams', () => {
  it('has the versions of all, with checksums of what is served', async () => {
    const scene = await mavenScene(three);
    for (const version of ['1.0.0', '1.2.0']) scene.central.publish({ ...library, version });
    scene.portal.publish({ ...library, version: '1.10.0' });
    const { metadata } = scene.corporate.publish({ ...library, version: '1.1.0' });
    const answer = await scene.get(metadata);
    expect(valuesIn(answer, 'version')).toEqual(['1.0.0', '1.1.0', '1.2.0', '1.10.0']);
    expect(valuesIn(answer, 'release')).toEqual(['1.10.0']);
    expect(valuesIn(answer, 'latest')).toEqual(['1.10.0']);
    for (const algorithm of algorithms)
      expect((await scene.get(`${metadata}.${algorithm}`)).text()).toBe(hashOf(answer.body, algorithm));
  });

  it('keeps checksums and bytes together when one of them changes', async () => {
    const scene = await mavenScene({ ...three, source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const { metadata } = scene.central.publish(library);
    scene.portal.publish({ ...library, version: '1.1.0' });
    await scene.get(metadata);
    scene.portal.publish({ ...library, version: '1.2.0' });
    const sha1 = (await scene.get(`${metadata}.sha1`)).text();
    const answer = await scene.get(metadata);
    expect(valuesIn(answer, 'version')).toEqual(['1.0.0', '1.1.0', '1.2.0']);
    expect(sha1).toBe(hashOf(answer.body, 'sha1'));
  });

  it('has the plugins of all at the level of a group', async () => {
    const scene = await mavenScene(three);
    const plugin = (name: string) => ({ ...library, artifact: `${name}-maven-plugin`, pluginPrefix: name });
    scene.central.publish(plugin('one'));
    scene.portal.publish(plugin('two'));
    const answer = await scene.get('/com/acme/maven-metadata.xml');
    expect(valuesIn(answer, 'prefix').sort()).toEqual(['one', 'two']);
    expect((await scene.get('/com/acme/maven-metadata.xml.sha1')).text()).toBe(hashOf(answer.body, 'sha1'));
  });

  it('has the newest build of a snapshot', async () => {
    const scene = await mavenScene(three);
    const snapshot = { ...library, version: '2.0-SNAPSHOT' };
    scene.central.publish(snapshot);
    scene.portal.publish(library);
    const newest = scene.portal.publish(snapshot);
    const answer = await scene.get(`${newest.folder}/maven-metadata.xml`);
    const value = newest.jar.slice(newest.folder.length + '/lib-'.length, -'.jar'.length);
    expect(valuesIn(answer, 'value')).toEqual([value, value]);
    expect((await scene.get(newest.jar)).body).toEqual(scene.portal.bytes(newest.jar));
  });

  it('of one alone is served byte for byte', async () => {
    const scene = await mavenScene(three);
    const { metadata } = scene.portal.publish(library);
    expect((await scene.get(metadata)).body).toEqual(scene.portal.bytes(metadata));
  });

  it('is refused while one of them is in trouble and nothing of it is stored, never shortened', async () => {
    const scene = await mavenScene({ ...three, source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const { metadata } = scene.central.publish(library);
    scene.portal.publish({ ...library, version: '1.1.0' });
    scene.portal.misbehave('metadata', '500');
    expectProblem(await scene.get(metadata), 503);
    scene.portal.heal();
    const whole = await scene.get(metadata);
    scene.portal.misbehave('metadata', '500');
    expect((await scene.get(metadata)).body).toEqual(whole.body);
  });

  it('is served when all of them are away, however old the word of one is that it has none', async () => {
    const scene = await mavenScene({ ...three, source: { ttl: '0s', staleWhileRevalidate: '0s', negativeTtl: '0s' } });
    const { metadata } = scene.portal.publish(library);
    const before = await scene.get(metadata);
    for (const { upstream } of [scene.central, scene.portal, scene.corporate]) await upstream.stop();
    const stale = await scene.get(metadata);
    expect(stale.status).toBe(200);
    expect(stale.body).toEqual(before.body);
    expect((await scene.get(`${metadata}.sha1`)).text()).toBe(hashOf(before.body, 'sha1'));
  });

  it('that none had is no absence while one of them is away', async () => {
    const scene = await mavenScene({ ...three, source: { negativeTtl: '0s' } });
    expectProblem(await scene.get('/com/acme/maven-metadata.xml'), 404);
    await scene.corporate.upstream.stop();
    expectProblem(await scene.get('/com/acme/maven-metadata.xml'), 503);
  });

  it('is not there when none has any', async () => {
    const scene = await mavenScene(three);
    expectProblem(await scene.get('/com/acme/maven-metadata.xml'), 404);
    expectProblem(await scene.get('/com/acme/maven-metadata.xml.sha1'), 404);
  });
});

describe('files', () => {
  it('of a stamped snapshot never change, those of a literal one do', async () => {
    const scene = await mavenScene({ source: { ttl: '0s', staleWhileRevalidate: '0s' } });
    const stamped = scene.central.publish({ ...library, version: '2.0-SNAPSHOT' });
    const literal = { ...library, version: '3.0-SNAPSHOT', literal: true };
    const { jar } = scene.central.publish(literal);
    for (const path of [stamped.jar, jar]) {
      await scene.get(path);
      await scene.settled(path);
    }
    scene.forget();
    expect((await scene.get(stamped.jar)).body).toEqual(scene.central.bytes(stamped.jar));
    expect(scene.requests()).toEqual([]);
    await scene.get(jar);
    expect(scene.central.upstream.requests.find(({ path }) => path === jar)?.headers['if-none-match']).toBeDefined();
    scene.central.publish(literal);
    const changed = await scene.get(jar);
    expect(changed.body).toEqual(scene.central.bytes(jar));
    await scene.settled(jar);
    expect((await scene.get(`${jar}.sha1`)).text()).toBe(hashOf(changed.body, 'sha1'));
  });

  it.each([
    ['a classifier', '-sources.jar'],
    ['an extension of two parts', '-bin.tar.gz'],
    ['a signature', '.jar.asc'],
    ['a Sigstore bundle', '.jar.sigstore.json'],
  ])('with %s are served as they are', async (_what, suffix) => {
    const scene = await mavenScene();
    const bytes = Buffer.from(`the bytes of ${suffix}`);
    const published = scene.central.publish({ ...library, files: { [suffix]: bytes } });
    expect((await scene.get(published.file(suffix))).body).toEqual(bytes);
  });

  it('of Gradle name the jar that there is, byte for byte', async () => {
    const scene = await mavenScene();
    const published = scene.central.publish({ ...library, gradle: true });
    const answer = await scene.get(published.file('.module'));
    expect(answer.body).toEqual(scene.central.bytes(published.file('.module')));
    const { variants } = answer.json() as { variants: { files: { url: string; sha512: string }[] }[] };
    const [file] = variants[0]?.files ?? [];
    const jar = await scene.get(`${published.folder}/${file?.url}`);
    expect(hashOf(jar.body, 'sha512')).toBe(file?.sha512);
  });

  it('of sbt plugins are found under the name that they have', async () => {
    const scene = await mavenScene();
    const folder = '/com/acme/plugin_2.12_1.0/1.2.3';
    scene.central.put(`${folder}/plugin-1.2.3.jar`, Buffer.from('an old name'));
    expectProblem(await scene.get(`${folder}/plugin_2.12_1.0-1.2.3.jar`), 404);
    expect((await scene.get(`${folder}/plugin-1.2.3.jar`)).text()).toBe('an old name');
  });

  it('have names with signs that URLs escape', async () => {
    const scene = await mavenScene();
    const path = '/com/acme/lib/1.0+a~b/lib-1.0+a~b.jar';
    scene.central.put(path, Buffer.from('plus and tilde'));
    for (const form of [path, path.replaceAll('+', '%2B'), path.replaceAll('~', '%7E')])
      expect((await scene.get(form)).text()).toBe('plus and tilde');
  });

  it('are fetched from where the plugin portal sends them', async () => {
    const store = await mavenScene();
    const { jar, pom } = store.central.publish(library);
    const elsewhere = store.central.url;
    const scene = await mavenScene({ upstream: { hosts: [new URL(elsewhere).host] } });
    scene.central.upstream.otherwise(({ path }) => ({ status: 303, headers: { location: `${elsewhere}${path}` } }));
    for (const path of [pom, jar]) expect((await scene.get(path)).body).toEqual(store.central.bytes(path));
    expect((await scene.get('/com/acme/lib/1.0.0/lib-1.0.0-sources.jar')).status).toBe(404);
    store.central.misbehave('jar', 'wrong digest');
    const other = store.central.publish({ ...library, version: '1.1.0' });
    expectProblem(await scene.get(other.jar), 502);
  });

  it("one upstream's list of prefixes is not that of the whole repository", async () => {
    const scene = await mavenScene(three);
    scene.central.put('/.meta/prefixes.txt', Buffer.from('## repository-prefixes/2.0\n/org/other\n'));
    expect((await scene.get('/.meta/prefixes.txt')).status).toBe(404);
    expect(scene.requests()).toEqual([]);
  });
});
