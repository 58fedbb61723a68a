/** Publishing to a Maven repository through the whole server: what deploys at once lose, what leaves, and who may what. */
import { connect } from 'node:net';
import { describe, expect, it, onTestFinished } from 'vitest';
import { hashOf } from '../support/bytes.ts';
import { type HostedOptions, type HostedServer, startHosted, wrongToken } from '../support/hosted-server.ts';
import { type Answer, type AskOptions, ask } from '../support/http.ts';
import { type MavenUpstream, startMavenUpstream } from '../support/maven-upstream.ts';

const jar = Buffer.from('a jar');

const pomOf = (coordinates: string): string => {
  const [group, artifact, version] = coordinates.split(':');
  return `<project><groupId>${group}</groupId><artifactId>${artifact}</artifactId><version>${version}</version></project>`;
};

interface Person {
  get(path: string): Promise<Answer>;
  ask(path: string, options: AskOptions): Promise<Answer>;
  put(path: string, body: string | Buffer): Promise<Answer>;
}

interface Scene {
  readonly server: HostedServer;
  /** Without a token: nobody in particular. */
  as(token?: string): Person;
  readonly alice: Person;
}

async function scene(options: Partial<HostedOptions> = {}): Promise<Scene> {
  const server = await startHosted({ format: 'maven', ...options });
  onTestFinished(() => server.close());
  const as = (token?: string): Person => {
    // What Maven makes of a server's settings.
    const basic = `Basic ${Buffer.from(`token:${token}`).toString('base64')}`;
    const person: Person = {
      ask: (path, { headers, ...rest }) =>
        ask(`${server.url}/${path}`, {
          ...rest,
          headers: { ...headers, ...(token === undefined ? {} : { authorization: basic }) },
        }),
      get: (path) => person.ask(path, {}),
      put: (path, body) => person.ask(path, { method: 'PUT', body }),
    };
    return person;
  };
  return { server, as, alice: as(await server.token('alice')) };
}

/** A jar, its pom, their checksums and metadata, as Maven does it. */
async function deploy(person: Person, group: string, artifact: string, version: string, file = version) {
  const home = `${group.replaceAll('.', '/')}/${artifact}`;
  const stem = `${home}/${version}/${artifact}-${file}`;
  const before = await person.get(`${home}/maven-metadata.xml`);
  for (const [path, bytes] of [
    [`${stem}.jar`, Buffer.from(`${artifact} ${file}`)],
    [`${stem}.pom`, Buffer.from(pomOf(`${group}:${artifact}:${version}`))],
  ] as const) {
    expect((await person.put(path, bytes)).status).toBe(201);
    expect((await person.put(`${path}.sha1`, hashOf(bytes, 'sha1'))).status).toBe(201);
    expect((await person.put(`${path}.md5`, hashOf(bytes, 'md5'))).status).toBe(201);
  }
  // What was read is written back with the own version: whoever came between is not in it.
  const known = before.status === 200 ? [...before.text().matchAll(/<version>(.+?)<\/version>/g)] : [];
  const versions = [...known.map(([text]) => text), `<version>${version}</version>`].join('');
  const sent = `<metadata><versioning><versions>${versions}</versions></versioning></metadata>`;
  expect((await person.put(`${home}/maven-metadata.xml`, sent)).status).toBe(201);
  expect((await person.put(`${home}/maven-metadata.xml.sha1`, hashOf(Buffer.from(sent), 'sha1'))).status).toBe(201);
}

const versionsIn = (answer: Answer): string[] =>
  [...answer.text().matchAll(/<version>(.+?)<\/version>/g)].map(([, version]) => version ?? '');

const upTo = (count: number): number[] => Array.from({ length: count }, (_, nth) => nth);

describe('deploys at once', () => {
  it('of one module lose no version', async () => {
    const { alice } = await scene();
    await Promise.all(upTo(12).map((nth) => deploy(alice, 'com.acme', 'lib', `1.${nth}`)));
    const answer = await alice.get('com/acme/lib/maven-metadata.xml');
    expect(versionsIn(answer)).toEqual(upTo(12).map((nth) => `1.${nth}`));
    expect(answer.text()).toContain('<release>1.11</release>');
    const sha1 = await alice.get('com/acme/lib/maven-metadata.xml.sha1');
    expect(sha1.text()).toBe(hashOf(answer.body, 'sha1'));
  });

  it('of the modules of one build keep to themselves', async () => {
    const { alice } = await scene();
    await Promise.all(upTo(8).map((nth) => deploy(alice, 'com.acme', `module-${nth}`, '1.0')));
    for (const nth of upTo(8)) {
      expect(versionsIn(await alice.get(`com/acme/module-${nth}/maven-metadata.xml`))).toEqual(['1.0']);
      expect((await alice.get(`com/acme/module-${nth}/1.0/module-${nth}-1.0.jar`)).text()).toBe(`module-${nth} 1.0`);
    }
  });

  it('of one snapshot, under the same number, are both there', async () => {
    const { alice } = await scene();
    const builds = ['1.0-20260102.030405-1', '1.0-20260102.030406-1'];
    await Promise.all(builds.map((build) => deploy(alice, 'com.acme', 'lib', '1.0-SNAPSHOT', build)));
    const told = await alice.get('com/acme/lib/1.0-SNAPSHOT/maven-metadata.xml');
    expect(told.text()).toContain('<timestamp>20260102.030406</timestamp>');
    for (const build of builds) {
      expect((await alice.get(`com/acme/lib/1.0-SNAPSHOT/lib-${build}.jar`)).text()).toBe(`lib ${build}`);
    }
  });
});

describe('a file that was deployed', () => {
  const path = 'com/acme/lib/1.0/lib-1.0.jar';

  it('is answered as one from upstream is, to HEAD as to GET', async () => {
    const { alice } = await scene();
    await alice.put(path, jar);
    const answer = await alice.get(path);
    expect(answer.body).toEqual(jar);
    expect(answer.headers).toMatchObject({
      'content-type': 'application/java-archive',
      'content-length': String(jar.length),
      etag: `"{SHA1{${hashOf(jar, 'sha1')}}}"`,
      'x-checksum-sha1': hashOf(jar, 'sha1'),
      'x-checksum-md5': hashOf(jar, 'md5'),
      'x-checksum-sha256': hashOf(jar, 'sha256'),
      'x-checksum-sha512': hashOf(jar, 'sha512'),
      'last-modified': expect.stringMatching(/GMT$/),
    });
    const head = await alice.ask(path, { method: 'HEAD' });
    const { date: _, 'x-request-id': __, ...expected } = answer.headers;
    expect(head.headers).toMatchObject(expected);
    expect(head.body).toHaveLength(0);
    for (const algorithm of ['sha1', 'md5', 'sha256', 'sha512']) {
      expect((await alice.get(`${path}.${algorithm}`)).text()).toBe(hashOf(jar, algorithm));
    }
    const part = await alice.ask(path, { headers: { range: 'bytes=2-' } });
    expect([part.status, part.text()]).toEqual([206, 'jar']);
  });

  it('comes in pieces whose number nobody knows', async () => {
    const { alice } = await scene();
    const sent = await alice.ask(path, { method: 'PUT', body: jar, headers: { 'transfer-encoding': 'chunked' } });
    expect(sent.status).toBe(201);
    expect((await alice.get(path)).body).toEqual(jar);
  });

  it('is announced, and sent only if it is wanted', async () => {
    const { server } = await scene();
    const { hostname, port, pathname } = new URL(`${server.url}/${path}`);
    const announce = async (token: string): Promise<string> => {
      const socket = connect(Number(port), hostname);
      const said = new Promise<string>((resolve, reject) => {
        socket.once('data', (data) => resolve(data.toString()));
        socket.once('error', reject);
      });
      socket.write(
        `PUT ${pathname} HTTP/1.1\r\nhost: ${hostname}:${port}\r\nauthorization: Bearer ${token}\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n`,
      );
      const first = await said;
      socket.destroy();
      return first.slice(0, first.indexOf('\r\n'));
    };
    expect(await announce(await server.token('alice'))).toBe('HTTP/1.1 100 Continue');
    expect(await announce(await server.token('rita'))).toMatch(/^HTTP\/1.1 403 /);
    expect(await announce(wrongToken)).toMatch(/^HTTP\/1.1 401 /);
  });

  it('is refused in words that Maven prints', async () => {
    const { alice } = await scene();
    await alice.put(path, jar);
    expect((await alice.put(path, jar)).status).toBe(200);
    const conflict = await alice.put(path, 'another jar');
    expect(conflict.status).toBe(409);
    expect(conflict.headers['content-type']).toMatch(/^application\/problem\+json/);
    expect(conflict.json()).toMatchObject({ title: 'Conflict', status: 409, detail: expect.stringContaining(path) });
    const mismatch = await alice.put(`${path}.sha1`, hashOf(Buffer.from('another jar'), 'sha1'));
    expect(mismatch.status).toBe(400);
    expect(mismatch.json()).toMatchObject({ title: 'Digest mismatch', detail: expect.stringContaining(path) });
    expect((await alice.get(path)).body).toEqual(jar);
  });

  it('is gone when it was deleted, and comes back with the same bytes only', async () => {
    const { alice } = await scene();
    await deploy(alice, 'com.acme', 'lib', '1.0');
    await deploy(alice, 'com.acme', 'lib', '1.1');
    expect((await alice.ask('com/acme/lib/1.0', { method: 'DELETE' })).status).toBe(204);
    expect((await alice.get(path)).status).toBe(404);
    expect(versionsIn(await alice.get('com/acme/lib/maven-metadata.xml'))).toEqual(['1.1']);
    expect((await alice.put(path, 'another jar')).status).toBe(409);
    expect((await alice.put(path, 'lib 1.0')).status).toBe(201);
  });
});

describe('beside an upstream', () => {
  async function merged(
    source: Readonly<Record<string, unknown>>,
  ): Promise<Scene & { readonly central: MavenUpstream }> {
    const central = await startMavenUpstream();
    onTestFinished(() => central.upstream.close());
    const made = await scene({
      upstreams: { central: { url: central.url, format: 'maven', retries: 0 } },
      sources: [{ hosted: true, ...source }, { remote: 'central' }],
    });
    return { ...made, central };
  }

  it('nothing of a claimed group ever leaves, on no route', async () => {
    const { alice, central } = await merged({ claims: ['com.acme:*', 'com.acme.*'] });
    await deploy(alice, 'com.acme', 'lib', '1.0');
    for (const path of [
      'com/acme/maven-metadata.xml',
      'com/acme/maven-metadata.xml.sha1',
      'com/acme/build/maven-metadata.xml',
      'com/acme/lib/maven-metadata.xml',
      'com/acme/other/maven-metadata.xml',
      'com/acme/other/1.0-SNAPSHOT/maven-metadata.xml',
      'com/acme/lib/1.0/lib-1.0-sources.jar',
      'com/acme/lib/1.0/lib-1.0.jar.asc',
      'com/acme/lib/1.0/lib-1.0.jar.asc.sha1',
      'com/acme/lib/1.0/notes.txt',
      'com/acme/lib/notes.txt',
      'com/acme/archetype-catalog.xml',
      'com.acme/lib/1.0/ivys/ivy.xml',
      'com.acme/lib/notes.txt',
      '.meta/prefixes.txt',
    ]) {
      await alice.get(path);
      await alice.ask(path, { method: 'HEAD' });
    }
    expect(central.log()).toEqual([]);
  });

  it('what is published here is answered from here alone, the rest from there', async () => {
    const { alice, central } = await merged({});
    const theirs = central.publish({ group: 'com.acme', artifact: 'lib', version: '99.0' });
    const open = central.publish({ group: 'org.open', artifact: 'tool', version: '1.0' });
    await deploy(alice, 'com.acme', 'lib', '1.0');
    central.upstream.forget();
    expect(versionsIn(await alice.get('com/acme/lib/maven-metadata.xml'))).toEqual(['1.0']);
    expect((await alice.get(theirs.jar.slice(1))).status).toBe(404);
    expect((await alice.get('com/acme/lib/1.0/lib-1.0-sources.jar')).status).toBe(404);
    expect(central.log()).toEqual([]);
    expect((await alice.get(open.jar.slice(1))).body).toEqual(central.bytes(open.jar));
  });

  it('versions of both are listed where the repository says so', async () => {
    const { alice, central } = await merged({ merge: ['com.acme:*'] });
    central.publish({ group: 'com.acme', artifact: 'lib', version: '99.0' });
    await deploy(alice, 'com.acme', 'lib', '1.0');
    expect(versionsIn(await alice.get('com/acme/lib/maven-metadata.xml'))).toEqual(['1.0', '99.0']);
  });
});

describe('who may what', () => {
  const path = 'com/acme/lib/1.0/lib-1.0.jar';

  it('is said before anything is read or told', async () => {
    let laterMs = 0;
    const now = (): number => Date.now() + laterMs;
    const { server, as, alice } = await scene({ now });
    await deploy(alice, 'com.acme', 'lib', '1.0');
    const expired = await server.token('alice', { expiresAt: now() + 60_000 });
    laterMs = 61_000;
    const people: readonly [string, string | undefined, number, number][] = [
      ['nobody in particular', undefined, 401, 401],
      ['a wrong token', wrongToken, 401, 401],
      ['an expired token', expired, 401, 401],
      ['a token of another organisation', await server.token('olga'), 404, 404],
      ['a member whom no rule mentions', await server.token('nobody'), 404, 404],
      ['a reader', await server.token('rita'), 200, 403],
      ['a token for reading', await server.token('alice', { may: ['read'] }), 200, 403],
      ['a token for other names', await server.token('alice', { names: ['org.*'] }), 404, 404],
      ['a token for this name', await server.token('alice', { names: ['com.acme:*'] }), 200, 200],
    ];
    for (const [who, token, read, write] of people) {
      const person = as(token);
      expect((await person.get(path)).status, who).toBe(read);
      const body = 'lib 1.0';
      const put = await person.put(path, body);
      expect(put.status, who).toBe(write);
      if (put.status === 401) expect(put.headers['www-authenticate']).toBe('Basic realm="Larder"');
      const metadata = await person.put('com/acme/lib/maven-metadata.xml', '<metadata/>');
      // Which name it is about is known when it was read.
      expect(metadata.status, who).toBe(write === 200 ? 201 : who === 'a token for other names' ? 403 : write);
      if (write === 200) continue;
      expect((await person.ask('com/acme/lib/1.0', { method: 'DELETE' })).status, who).toBe(write);
      expect((await person.put(`${path}.sha1`, hashOf(Buffer.from(body), 'sha1'))).status, who).toBe(write);
    }
  });

  it('holds for the prefixes of plugins, which are those of a group', async () => {
    const { server, as, alice } = await scene();
    await deploy(alice, 'com.acme.build', 'x-maven-plugin', '1.0');
    const metadata = 'com/acme/build/maven-metadata.xml';
    const sent =
      '<metadata><plugins><plugin><name>X</name><prefix>x</prefix><artifactId>x-maven-plugin</artifactId></plugin></plugins></metadata>';
    const group = as(await server.token('alice', { names: ['com.acme.build:*'] }));
    expect((await group.put(metadata, sent)).status).toBe(201);
    expect((await group.put(`${metadata}.sha1`, hashOf(Buffer.from(sent), 'sha1'))).status).toBe(201);
    expect((await alice.get(metadata)).text()).toContain('<prefix>x</prefix>');
    const other = as(await server.token('alice', { names: ['com.acme:build'] }));
    expect((await other.put(metadata, sent)).status).toBe(403);
    expect((await other.get(metadata)).status).toBe(404);
  });
});

it('a repository for releases says so to who deploys a snapshot', async () => {
  const { alice } = await scene({ options: { snapshots: false } });
  const answer = await alice.put('com/acme/lib/1.0-SNAPSHOT/lib-1.0-20260102.030405-1.jar', jar);
  expect(answer.status).toBe(400);
  expect(answer.headers['content-type']).toMatch(/^application\/problem\+json/);
  expect(answer.json()).toMatchObject({ detail: expect.stringContaining('takes releases only') });
});

it('what was deployed is there after a restart', async () => {
  const { server, alice } = await scene();
  await deploy(alice, 'com.acme', 'lib', '1.0');
  const before = await alice.get('com/acme/lib/maven-metadata.xml');
  await server.stop();
  const again = await startHosted({ format: 'maven', folder: server.folder });
  onTestFinished(() => again.close());
  const token = await again.token('rita');
  const headers = { authorization: `Bearer ${token}` };
  const after = await ask(`${again.url}/com/acme/lib/maven-metadata.xml`, { headers });
  expect(after.text()).toBe(before.text());
});
