import { describe, expect, it } from 'vitest';
import type { Format } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import type { Repository } from '../../src/core/repository.ts';
import type { Source } from '../../src/core/source.ts';
import { type Resolved, resolve } from '../../src/http/resolve.ts';

function source(...namespaces: string[]): Source {
  return {
    id: namespaces.join(),
    claims: [],
    answersFor: (namespace) => namespaces.includes(namespace),
    artifact: async () => undefined,
    document: async () => [],
  };
}

function repository(id: string, format: Partial<Format>, ...sources: Source[]): Repository {
  const [org = '', name = ''] = id.split('/');
  return { id, org, name, format: format as Format, sources } as Partial<Repository> as Repository;
}

const images: Partial<Format> = { id: 'images', root: 'v2', namespaceParameter: 'ns' };
const files: Partial<Format> = { id: 'files' };
const sloppy: Partial<Format> = { id: 'sloppy', extraSlash: true };

const all = [
  repository('acme/files', files, source()),
  repository('acme/sloppy', sloppy, source()),
  repository('acme/hub', images, source('docker.io', 'hub.example')),
  repository('acme/git', images, source('git.example')),
  repository('other/quay', images, source('quay.example')),
];
const repositories = new Map(all.map((one) => [one.id, one]));

function found(
  url: string,
  { host = 'larder.example', hosts = { default: 'acme/hub' } as Record<string, string> } = {},
): string {
  const [path = '', query = ''] = url.split('?');
  let to: Resolved | undefined;
  try {
    to = resolve({ repositories, hosts }, { path, query: new URLSearchParams(query), host: () => host });
  } catch (error) {
    if (error instanceof Problem) return error.code;
    throw error;
  }
  if (!to) return 'none';
  return `${to.repository.id} ${to.at} ${to.rest}${to.namespace === undefined ? '' : ` ${to.namespace}`}`;
}

describe('a repository is found', () => {
  it.each([
    ['/acme/files/a/b.txt', 'acme/files /acme/files /a/b.txt'],
    ['/acme/files', 'acme/files /acme/files /'],
    ['/acme/files/v2/a', 'acme/files /acme/files /v2/a'],
    // One slash too many is passed over where clients are known to send it, and there only in this place.
    ['/acme/sloppy//a/b', 'acme/sloppy /acme/sloppy /a/b'],
    ['/acme/sloppy//', 'acme/sloppy /acme/sloppy /'],
    ['/acme/sloppy///a', 'acme/sloppy /acme/sloppy //a'],
    ['/acme/sloppy/a//b', 'acme/sloppy /acme/sloppy /a//b'],
    ['/acme/sloppy//../files/a', 'acme/sloppy /acme/sloppy /../files/a'],
    ['/acme/files//a', 'acme/files /acme/files //a'],
    ['/v2/acme/hub/library/alpine/manifests/3', 'acme/hub /v2/acme/hub /library/alpine/manifests/3'],
    ['/v2/acme/hub', 'acme/hub /v2/acme/hub /'],
    ['/acme/hub/v2/library/alpine/manifests/3', 'acme/hub /acme/hub/v2 /library/alpine/manifests/3'],
    ['/acme/hub/v2/', 'acme/hub /acme/hub/v2 /'],
    ['/acme/hub/v2', 'acme/hub /acme/hub/v2 /'],
    ['/v2/library/alpine/manifests/3', 'acme/hub /v2 /library/alpine/manifests/3'],
    ['/v2/', 'acme/hub /v2 /'],
    ['/v2', 'acme/hub /v2 /'],
    // Not a repository of that root, so it is a name of an image.
    ['/v2/acme/files/manifests/3', 'acme/hub /v2 /acme/files/manifests/3'],
    ['/v2/acme/nothing/manifests/3', 'acme/hub /v2 /acme/nothing/manifests/3'],
  ])('at %s', (url, expected) => {
    expect(found(url)).toBe(expected);
  });

  it.each([
    ['/acme/hub/library/alpine/manifests/3', 'not_found'],
    ['/acme/hub/', 'not_found'],
    ['/acme/hub/v2x/a', 'not_found'],
    ['/acme/nothing/a', 'not_found'],
    ['//acme/sloppy/a', 'none'],
    ['/acme//sloppy/a', 'none'],
    ['/healthz', 'none'],
    ['/token', 'none'],
    ['/-/a', 'none'],
    ['/api/v1/x', 'none'],
    ['/', 'none'],
    ['/%76%32/acme/hub/a', 'none'],
  ])('not at %s', (url, expected) => {
    expect(found(url)).toBe(expected);
  });
});

describe('the host name', () => {
  const hosts = { default: 'acme/hub', 'git.larder.example': 'acme/git' };

  it('decides who stands at the root', () => {
    expect(found('/v2/a/manifests/1', { host: 'git.larder.example', hosts })).toBe('acme/git /v2 /a/manifests/1');
    expect(found('/v2/a/manifests/1', { host: 'GIT.larder.example', hosts })).toBe('acme/git /v2 /a/manifests/1');
    expect(found('/v2/a/manifests/1', { host: 'else.example', hosts })).toBe('acme/hub /v2 /a/manifests/1');
  });

  it('decides nothing where the address names a repository', () => {
    expect(found('/v2/acme/hub/a/manifests/1', { host: 'git.larder.example', hosts })).toBe(
      'acme/hub /v2/acme/hub /a/manifests/1',
    );
  });

  it('may stand for nobody: then only the root itself answers', () => {
    expect(found('/v2/a/manifests/1', { hosts: {} })).toBe('not_found');
    expect(found('/v2/', { hosts: {} })).toBe('acme/hub /v2 /');
  });

  it('of a repository with another root stands for nobody there', () => {
    expect(found('/v2/a/manifests/1', { hosts: { default: 'acme/files' } })).toBe('not_found');
  });

  it('is not looked at for anything else', () => {
    const asked = {
      path: '/acme/files/a',
      query: new URLSearchParams(),
      host: () => {
        throw new Error('nobody knows');
      },
    };
    expect(resolve({ repositories, hosts }, asked)?.rest).toBe('/a');
  });
});

describe('the registry that a mirror client means', () => {
  it.each([
    ['/v2/a/manifests/1?ns=docker.io', 'acme/hub /v2 /a/manifests/1 docker.io'],
    ['/v2/a/manifests/1?ns=DOCKER.io', 'acme/hub /v2 /a/manifests/1 docker.io'],
    ['/v2/a/manifests/1?ns=git.example', 'acme/git /v2 /a/manifests/1 git.example'],
    // Repositories of other organisations are none of this one's.
    ['/v2/a/manifests/1?ns=quay.example', 'acme/hub /v2 /a/manifests/1 quay.example'],
    ['/v2/a/manifests/1?ns=127.0.0.1:1', 'acme/hub /v2 /a/manifests/1 127.0.0.1:1'],
    ['/v2/a/manifests/1?ns=', 'acme/hub /v2 /a/manifests/1'],
    ['/v2/acme/hub/a/manifests/1?ns=git.example', 'acme/hub /v2/acme/hub /a/manifests/1 git.example'],
    ['/acme/hub/v2/a/manifests/1?ns=docker.io', 'acme/hub /acme/hub/v2 /a/manifests/1 docker.io'],
    ['/acme/files/a?ns=docker.io', 'acme/files /acme/files /a'],
  ])('%s', (url, expected) => {
    expect(found(url)).toBe(expected);
  });
});
