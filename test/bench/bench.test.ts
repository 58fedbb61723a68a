import { createHash } from 'node:crypto';
import { gunzipSync, gzipSync } from 'node:zlib';
import { unzipSync } from 'fflate';
import { describe, expect, it } from 'vitest';
import { mavenFile } from '../../bench/bodies.ts';
import { coldFormats, coldName, coldPlace, coldReply } from '../../bench/cold-bodies.ts';
import { type Contest, type Outcome, type Round, ratios, reached, spread } from '../../bench/contest.ts';
import { coldImage, imageReplies, smallImages } from '../../bench/image-bodies.ts';
import { indexReplies, packageVersions, projectFiles, versionsBytes } from '../../bench/index-bodies.ts';
import { judge, type Load } from '../../bench/load.ts';
import { readOptions } from '../../bench/options.ts';
import { sha256 } from '../../bench/probe.ts';
import { documentOf, type Facts, marker, notYet, tableOf, tablesOf } from '../../bench/report.ts';
import { contestsOf, rows } from '../../bench/rows.ts';
import { essenceOf } from '../../bench/warm.ts';

const contest: Contest = {
  id: 'speed',
  title: 'Speed',
  unit: 'req/s',
  against: [{ contender: 'nginx', target: { atLeast: 1 } }],
};

function rounds(...pairs: readonly [number, number][]): Round[] {
  return pairs.map(
    ([ours, theirs]): Round =>
      new Map([
        ['larder', { value: ours }],
        ['nginx', { value: theirs }],
      ]),
  );
}

describe('numbers of several rounds', () => {
  it.each([
    ['an odd count', [3, 1, 2], { median: 2, min: 1, max: 3 }],
    ['an even count', [4, 1, 2, 3], { median: 2.5, min: 1, max: 4 }],
    ['one', [7], { median: 7, min: 7, max: 7 }],
    ['none', [], undefined],
  ])('have a median, a smallest and a largest: %s', (_name, values, expected) => {
    expect(spread(values)).toEqual(expected);
  });

  it('are divided within their round, and not one median by the other', () => {
    expect(ratios(rounds([10, 10], [30, 10], [20, 40]), 'nginx')).toEqual({ median: 1, min: 0.5, max: 3 });
  });

  it.each([
    [{ atLeast: 1 }, 1, true],
    [{ atLeast: 1 }, 0.99, false],
    [{ atMost: 0.7 }, 0.7, true],
    [{ atMost: 0.7 }, 0.71, false],
  ])('reach %j with %d: %s', (target, ratio, expected) => {
    expect(reached(target, ratio)).toBe(expected);
  });
});

describe('what wrk counted', () => {
  const load: Load = {
    url: 'http://127.0.0.1/x',
    headers: {},
    connections: 2,
    seconds: 1,
    headBytes: 200,
    bodyBytes: 1000,
    slackBytes: 20,
  };
  const clean = {
    requests: 100,
    bytes: 120_000,
    durationUs: 2e6,
    connect: 0,
    read: 0,
    write: 0,
    status: 0,
    timeout: 0,
  };

  it('becomes rates', () => {
    expect(judge(clean, load)).toEqual({ requestsPerSecond: 50, megabytesPerSecond: 0.06 });
  });

  it.each([
    ['an answer with another status', { status: 1 }],
    ['a broken connection', { read: 1 }],
    ['an answer that did not come in time', { timeout: 1 }],
    ['answers that are too short', { bytes: 115_000 }],
    ['answers that are too long', { bytes: 130_000 }],
    ['no answer at all', { requests: 0, bytes: 0 }],
  ])('is no measurement after %s', (_name, change) => {
    expect(() => judge({ ...clean, ...change }, load)).toThrow(load.url);
  });

  describe('of several steps, one of which is to be refused', () => {
    const inTurn: Load = { ...load, steps: [{ path: '/v2/', bare: true }, { path: '/x' }], refusals: 1 };

    it.each([
      ['half of the answers', 50],
      ['as many more as connections and steps may be ahead', 54],
    ])('takes %s for refusals', (_name, status) => {
      expect(judge({ ...clean, status }, inTurn)).toMatchObject({ requestsPerSecond: 50 });
    });

    it.each([
      ['nothing was refused', { status: 0 }],
      ['more was refused', { status: 55 }],
      ['answers are too short', { status: 50, bytes: 110_000 }],
      ['answers are too long', { status: 50, bytes: 135_000 }],
    ])('is no measurement when %s', (_name, change) => {
      expect(() => judge({ ...clean, ...change }, inTurn)).toThrow(load.url);
    });
  });
});

describe('the table', () => {
  const measured: Outcome = { contest, rounds: rounds([90, 100], [95, 100], [110, 100]) };

  it('has a line for what was not measured', () => {
    expect(tableOf([contest], [])).toContain(notYet);
  });

  it('tells a missed target from a reached one', () => {
    expect(tableOf([contest], [measured])).toContain('missed');
    expect(tableOf([contest], [{ contest, rounds: rounds([101, 100]) }])).toContain('reached');
  });

  it('shows the reason of a failure and no number', () => {
    const table = tableOf([contest], [{ contest, failure: 'wrong bytes' }]);
    expect(table).toContain('failed: wrong bytes');
    expect(table).not.toContain('req/s');
  });
});

describe('a limit for Larder alone', () => {
  const limited: Contest = { id: 'growth', title: 'Growth', unit: 'MB', against: [], limit: 150 };

  it.each([
    [150, 'reached'],
    [151, 'missed'],
  ])('of 150 MB with %d MB is %s', (value, verdict) => {
    const table = tableOf([limited], [{ contest: limited, rounds: [new Map([['larder', { value }]])] }]);
    expect(table).toContain('≤ 150 MB');
    expect(table).toContain(verdict);
  });

  it('on memory stands below what the servers had', () => {
    const usage = { cpuMs: 0, residentBytes: 2 ** 20, peakBytes: 2 ** 20 };
    const tables = tablesOf([limited, contest], [], new Map([['nginx', usage]]));
    const places = ['Speed', '| 1 MiB |', 'Growth'].map((text) => tables.indexOf(text));
    expect(places).not.toContain(-1);
    expect(places).toEqual([...places].sort((a, b) => a - b));
  });
});

describe('the bodies of the bench', () => {
  interface Described {
    readonly digest: string;
    readonly size: number;
  }
  interface Manifest {
    readonly config: Described;
    readonly layers: readonly Described[];
  }
  const replyTo = imageReplies();

  function bytesOf(path: string): Buffer {
    return Buffer.concat([...(replyTo(path)?.pieces() ?? [])]);
  }

  function manifestOf(name: string): Manifest {
    return JSON.parse(bytesOf(`${name}/manifests/1`).toString()) as Manifest;
  }

  it.each([...smallImages, coldImage(3_000_000, 0, 0, 'a')])('%s consists of what its manifest promises', (name) => {
    const { config, layers } = manifestOf(name);
    for (const { digest, size } of [config, ...layers]) {
      const bytes = bytesOf(`${name}/blobs/${digest}`);
      expect([digest, size]).toEqual([`sha256:${sha256(bytes)}`, bytes.length]);
    }
  });

  it('are manifests of one length under tag and digest, so that answers to them can be judged by it', () => {
    const replies = smallImages.flatMap((name) => {
      const byTag = replyTo(`${name}/manifests/1`);
      return [byTag, replyTo(`${name}/manifests/${byTag?.digest}`)];
    });
    expect(replies).not.toContain(undefined);
    expect(new Set(replies.map((reply) => reply?.size)).size).toBe(1);
    expect(new Set(replies.map((reply) => reply?.digest)).size).toBe(smallImages.length);
  });

  it('are layers that hold a file of the promised length and are other ones for every name', () => {
    const digests = ['a', 'b'].map((id) => manifestOf(coldImage(2_000_000, 20, 5, id)).layers[0]?.digest ?? '');
    expect(new Set(digests).size).toBe(2);
    const path = `${coldImage(2_000_000, 20, 5, 'a')}/blobs/${digests[0]}`;
    expect(replyTo(path)).toMatchObject({ latencyMs: 20, bytesPerMs: 5 });
    const archive = gunzipSync(bytesOf(path));
    const announced = Number.parseInt(archive.toString('latin1', 124, 135), 8);
    expect(announced).toBeGreaterThanOrEqual(2_000_000);
    expect(archive.length).toBe(512 + announced + 1024);
  });

  it.each(['library/none/manifests/1', 'library/small-0/manifests/2', 'library/small-0/blobs/sha256:0', ''])(
    'have nothing at %j',
    (path) => {
      expect(replyTo(path)).toBeUndefined();
    },
  );

  it.each([
    ['jar', 307_200],
    ['pom', 2048],
  ])('are a %s with its digest beside it', (extension, length) => {
    const path = `org/example/bench/1.0/bench-1.0.${extension}`;
    const bytes = Buffer.concat(mavenFile(path)?.parts ?? []);
    expect(bytes.length).toBe(length);
    const beside = Buffer.concat(mavenFile(`${path}.sha1`)?.parts ?? []).toString();
    expect(beside).toBe(createHash('sha1').update(bytes).digest('hex'));
    expect(mavenFile(`${path}.md5`)).toBeUndefined();
  });
});

describe('the files of the bench that nobody has asked for', () => {
  const origin = 'http://127.0.0.1:1';
  const name = coldName(20, 20_480, 'a-1');
  const bytesOf = (path: string): Buffer => Buffer.concat(coldReply(origin, path)?.parts ?? []);
  const textOf = (path: string): string => bytesOf(path).toString();
  const hashOf = (algorithm: string, path: string): Buffer => createHash(algorithm).update(bytesOf(path)).digest();
  const files: Record<(typeof coldFormats)[number], string> = {
    jar: `/maven/org/example/${name}/1.0/${name}-1.0.jar`,
    nupkg: `/nuget/v3/flat/${name}/1.0.0/${name}.1.0.0.nupkg`,
    gem: `/rubygems/gems/${name}-1.0.0.gem`,
    wheel: `/pypi/packages/${name}-1.0-py3-none-any.whl`,
    bundle: `/p2/${name}/plugins/org.example.cold_1.0.0.jar`,
  };

  it.each(coldFormats)('are a %s that takes its time, behind a document that is there at once', (format) => {
    const { place, before, path } = coldPlace(format, name);
    expect(coldReply(origin, files[format])).toMatchObject({ latencyMs: 20, isFile: true });
    expect(bytesOf(files[format])).toHaveLength(20_480);
    if (path !== undefined) expect(`/${place}${path}`).toBe(files[format]);
    if (before !== undefined) {
      expect(coldReply(origin, `/${place}${before}`)).toMatchObject({ latencyMs: 0, isFile: false });
    }
  });

  it('have the digests that are told of them', () => {
    const catalog = JSON.parse(textOf(`/nuget/v3/catalog/${name}.1.0.0.json`)) as { packageHash: string };
    const site = unzipSync(bytesOf(`/p2/${name}/artifacts.jar`))['artifacts.xml'];
    expect([
      textOf(`${files.jar}.sha1`),
      catalog.packageHash,
      textOf(`/rubygems/info/${name}`),
      textOf(`/pypi/simple/${name}/`),
      Buffer.from(site ?? []).toString(),
    ]).toEqual([
      hashOf('sha1', files.jar).toString('hex'),
      hashOf('sha512', files.nupkg).toString('base64'),
      expect.stringContaining(`checksum:${hashOf('sha256', files.gem).toString('hex')}`),
      expect.stringContaining(`"sha256":"${hashOf('sha256', files.wheel).toString('hex')}"`),
      expect.stringContaining(`sha-256" value="${hashOf('sha256', files.bundle).toString('hex')}"`),
    ]);
  });

  it('are other bytes for every name, and nothing without one', () => {
    const other = files.gem.replace(name, coldName(20, 20_480, 'a-2'));
    expect(bytesOf(other)).toHaveLength(20_480);
    expect(bytesOf(other)).not.toEqual(bytesOf(files.gem));
    expect(coldReply(origin, '/rubygems/gems/bench-files-1.0.0.gem')).toBeUndefined();
    expect(coldReply(origin, `${files.jar}.md5`)).toBeUndefined();
  });
});

describe('the largest documents of the bench', () => {
  const replyTo = indexReplies('http://127.0.0.1:1');
  const feed = '/nuget/v3/registration-semver2/bench.huge';

  function bytesOf(path: string): Buffer {
    const reply = replyTo(path, false);
    const bytes = Buffer.concat(reply?.parts ?? []);
    return reply?.coding === 'gzip' ? gunzipSync(bytes) : bytes;
  }

  it('are as large as they are said to be', () => {
    expect(bytesOf('/rubygems/versions')).toHaveLength(versionsBytes);
    const { files } = JSON.parse(bytesOf('/pypi/simple/bench-nightly/').toString()) as { files: object[] };
    expect(files).toHaveLength(projectFiles);
    const { items } = JSON.parse(bytesOf(`${feed}/index.json`).toString()) as { items: { '@id': string }[] };
    const pages = items.map(
      (page) =>
        JSON.parse(bytesOf(new URL(page['@id']).pathname).toString()) as {
          items: { catalogEntry: { version: string } }[];
        },
    );
    const versions = pages.flatMap((page) => page.items.map(({ catalogEntry }) => catalogEntry.version));
    expect(new Set(versions).size).toBe(packageVersions);
    expect(versions).toHaveLength(packageVersions);
  });

  it.each([
    ['/pypi/simple/bench-nightly/', undefined, 'gzip'],
    [`${feed}/index.json`, 'gzip', 'gzip'],
    ['/nuget/v3/index.json', undefined, 'gzip'],
  ])('%s comes packed as its registry packs it', (path, unasked, asked) => {
    expect([replyTo(path, false)?.coding, replyTo(path, true)?.coding]).toEqual([unasked, asked]);
  });

  it.each([
    ['project', '/pypi/simple/bench-nightly/', /"hashes":{"sha256":"[0-9a-f]/],
    ['registration', `${feed}/index.json`, /"upper":"1/],
    ['registration', `${feed}/page/1.0.0/1.63.0.json`, /"range":"\[1/],
  ] as const)('are another %s when something in it changes, packed or not', (kind, path, place) => {
    const body = bytesOf(path);
    const essence = essenceOf(kind, { headers: {}, body });
    expect(essenceOf(kind, { headers: { 'content-encoding': 'gzip' }, body: gzipSync(body) })).toBe(essence);
    const changed = Buffer.from(body.toString().replace(place, (text) => `${text.slice(0, -1)}z`));
    expect(essenceOf(kind, { headers: {}, body: changed })).not.toBe(essence);
  });

  it('are nothing elsewhere', () => {
    expect(replyTo('/nuget/v3/registration-semver2/bench.huge/page/1.0.0/1.1.0.json', true)).toBeUndefined();
    expect(replyTo('/pypi/simple/', false)).toBeUndefined();
  });
});

describe('the file of results', () => {
  const facts: Facts = { date: new Date(0), machine: [], rounds: 1, seconds: 1 };

  it('keeps what people wrote below the marker, and only that', () => {
    const first = documentOf(facts, 'old table', undefined);
    const edited = `${first.slice(0, first.indexOf(marker))}${marker}\n\n## Where the time goes\n\nIn write().\n`;
    const second = documentOf(facts, 'new table', edited);
    expect(second).toContain('In write().');
    expect(second).toContain('new table');
    expect(second).not.toContain('old table');
    expect(documentOf(facts, 'new table', second)).toBe(second);
  });
});

describe('the rows', () => {
  it('have different names', () => {
    const ids = rows.flatMap(contestsOf).map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  it('are all chosen and written by default, and not written when some are left out', () => {
    expect(readOptions([], 'main.ts')).toMatchObject({ rows, write: true });
    expect(readOptions(['--only', 'cold'], 'main.ts')).toMatchObject({ write: false });
    expect(readOptions(['--quick'], 'main.ts')).toMatchObject({ write: false });
  });

  it.each([
    ['a row that does not exist', ['--only', 'cache']],
    ['no rounds', ['--rounds', '0']],
    ['an unknown option', ['--fast']],
  ])('are refused with a reason for %s', (_name, args) => {
    expect(() => readOptions(args, 'main.ts')).toThrow();
  });
});
