import { describe, expect, it } from 'vitest';
import type { Intent, Route } from '../../src/core/format.ts';
import { Problem } from '../../src/core/problem.ts';
import { compileRoutes, type Params } from '../../src/core/route.ts';

const nothing: Intent = { kind: 'answer', body: { bytes: new Uint8Array() } };

function route(id: string, path: string, method: Route['method'] = 'GET'): Route {
  return { id, method, path, intent: () => nothing };
}

interface Found {
  readonly id: string;
  readonly params: Params;
}

function take(found: Route, params: Params): Found {
  return { id: found.id, params };
}

describe('a template', () => {
  it.each<[string, string, string, Params | undefined]>([
    ['a literal', '/-/ping', '/-/ping', {}],
    ['a literal that differs', '/-/ping', '/-/pong', undefined],
    ['an escaped literal', '/-/ping', '/%2d/ping', {}],
    ['the root', '/', '/', {}],
    ['one segment', '/{name}', '/express', { name: 'express' }],
    ['a segment with an escaped slash', '/{name}', '/@s%2fn', { name: '@s/n' }],
    ['no second segment', '/{name}', '/a/b', undefined],
    ['no empty segment', '/{name}', '/', undefined],
    ['no trailing slash', '/{name}', '/a/', undefined],
    ['a trailing slash that the template has', '/simple/{name}/', '/simple/a/', { name: 'a' }],
    ['a trailing slash that is missing', '/simple/{name}/', '/simple/a', undefined],
    ['text after a parameter', '/{name}/-/{file}.tgz', '/a/-/a-1.0.0.tgz', { name: 'a', file: 'a-1.0.0' }],
    ['text after a parameter that differs', '/{file}.tgz', '/a.zip', undefined],
    ['text after nothing', '/{file}.tgz', '/.tgz', undefined],
    ['text before a parameter', '/@{scope}/{name}', '/@s/n', { scope: 's', name: 'n' }],
    ['text on both sides', '/v{major}.json', '/v2.json', { major: '2' }],
    ['text that would overlap', '/ab{x}ba', '/aba', undefined],
    ['many segments', '/{path+}', '/a/b/c', { path: 'a/b/c' }],
    ['one of many', '/{path+}', '/a', { path: 'a' }],
    ['none of many', '/{path+}', '/', undefined],
    ['many with a trailing slash', '/{path+}', '/a/b/', { path: 'a/b/' }],
    ['many before text', '/{name+}/-/{file}.tgz', '/@s/n/-/n-1.0.0.tgz', { name: '@s/n', file: 'n-1.0.0' }],
    ['many before too little', '/{name+}/-/{file}.tgz', '/-/n.tgz', undefined],
    ['many between text', '/-/package/{name+}/dist-tags', '/-/package/@s/n/dist-tags', { name: '@s/n' }],
    ['many with text after the last', '/{path+}.sha1', '/a/b.jar.sha1', { path: 'a/b.jar' }],
    [
      'more segments than any table lists',
      '/{path+}/end',
      `/${'a/'.repeat(40)}end`,
      { path: 'a/'.repeat(40).slice(0, -1) },
    ],
    ['fifteen segments and no more', `/${'a/'.repeat(14)}{b}`, `/${'a/'.repeat(15)}a`, undefined],
    ['too many segments for a counted template', '/{a}/{b}', `/${'a/'.repeat(40)}end`, undefined],
  ])('takes %s', (_name, path, raw, params) => {
    expect(compileRoutes([route('it', path)]).find('GET', raw, take)).toEqual(params && { id: 'it', params });
  });

  it.each([
    ['without a slash at the start', '{name}'],
    ['with two parameters in one segment', '/{os}_{arch}'],
    ['with an open brace', '/{name'],
    ['with a nameless parameter', '/{}'],
    ['with one name twice', '/{a}/{a}'],
    ['with two parameters of several segments', '/{a+}/x/{b+}'],
    ['with more segments than anybody needs', `/${'a/'.repeat(15)}{b+}`],
  ])('%s is refused', (_name, path) => {
    expect(() => compileRoutes([route('bad', path)])).toThrow('Route bad');
  });
});

describe('a table of routes', () => {
  const router = compileRoutes([
    route('ping', '/-/ping'),
    route('first', '/{name}'),
    route('second', '/{name}'),
    route('publish', '/{name}', 'PUT'),
    route('audit', '/-/audit', 'POST'),
  ]);

  it('is asked in its order', () => {
    expect(router.find('GET', '/a', take)).toMatchObject({ id: 'first' });
  });

  it('tries the next route when one makes nothing of the path', () => {
    const asked: string[] = [];
    const found = router.find('GET', '/a', ({ id }) => {
      asked.push(id);
      return id === 'second' ? { id } : undefined;
    });
    expect(found).toEqual({ id: 'second' });
    expect(asked).toEqual(['first', 'second']);
  });

  it('answers HEAD as GET', () => {
    expect(router.find('HEAD', '/-/ping', take)).toMatchObject({ id: 'ping' });
  });

  it('keeps methods apart', () => {
    expect(router.find('PUT', '/a', take)).toMatchObject({ id: 'publish' });
  });

  it('names the methods that would have been understood', () => {
    expect(router.find('DELETE', '/a', take)).toEqual({ allow: ['GET', 'HEAD', 'PUT'] });
    expect(router.find('GET', '/-/audit', take)).toEqual({ allow: ['POST'] });
  });

  it('does not name a method whose route makes nothing of the path', () => {
    const found = router.find('DELETE', '/a', (known) => (known.method === 'PUT' ? { id: known.id } : undefined));
    expect(found).toEqual({ allow: ['PUT'] });
    expect(router.find('DELETE', '/a', () => undefined)).toBeUndefined();
  });

  it('knows nothing of other paths', () => {
    expect(router.find('GET', '/a/b/c', take)).toBeUndefined();
  });

  it('throws a problem for a path that is not safe, whatever the routes', () => {
    expect(() => router.find('GET', '/a/../b', take)).toThrow(Problem);
  });
});
