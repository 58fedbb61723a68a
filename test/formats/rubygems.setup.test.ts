import { describe, expect, it } from 'vitest';
import type { SetupTarget } from '../../src/core/client-setup.ts';
import { setups } from '../../src/formats/rubygems/setup.ts';

const target: SetupTarget = {
  url: 'http://localhost:5273/public/rubygems',
  root: 'http://localhost:5273',
  repository: 'public/rubygems',
  namespaces: [],
  others: [],
};

function setupOf(client: string) {
  const found = setups.find((one) => one.client === client);
  if (!found) throw new Error(`there is no ${client}`);
  return found;
}

describe('Bundler', () => {
  it('has a mirror of the server that Gemfiles name', () => {
    expect(setupOf('bundler').files(target)).toMatchObject([
      {
        syntax: 'yaml',
        project: '.bundle/config',
        settings: [{ key: 'BUNDLE_MIRROR__RUBYGEMS__ORG', value: `${target.url}/` }],
      },
    ]);
  });

  it('has mirrors of what stands behind the repository', () => {
    const [file] = setupOf('bundler').files({ ...target, namespaces: ['ruby-gems.example.com'] });
    expect(file).toMatchObject({ settings: [{ key: 'BUNDLE_MIRROR__RUBY___GEMS__EXAMPLE__COM' }] });
  });

  it.each([
    [{}, '.bundle/config'],
    [{ BUNDLE_USER_HOME: '/x' }, '/x/config'],
    [{ BUNDLE_USER_CONFIG: '/y/config', BUNDLE_USER_HOME: '/x' }, '/y/config'],
  ])('reads its own file with %j', (environment, path) => {
    expect(setupOf('bundler').files(target)[0]?.user(environment)).toBe(path);
  });

  it('takes a token from the environment', () => {
    const notes = setupOf('bundler').notes?.({
      ...target,
      url: 'https://larder-1.example.com/a/b',
      tokenVariable: 'T',
    });
    expect(notes).toContain('export BUNDLE_LARDER___1__EXAMPLE__COM="token:$T"');
  });
});

describe('gem', () => {
  it('has it among its sources', () => {
    expect(setupOf('gem').files(target)).toMatchObject([
      { syntax: 'yaml', settings: [{ key: ':sources', value: [`${target.url}/`] }] },
    ]);
  });

  it('takes a token in the address only', () => {
    const notes = setupOf('gem').notes?.({ ...target, tokenVariable: 'T' });
    expect(notes).toContain(
      `gem sources --remove ${target.url}/ --add "http://token:$T@localhost:5273/public/rubygems/"`,
    );
    expect(notes).toContain(`GEM_HOST_API_KEY="$T" gem push --host ${target.url} FILE.gem`);
  });
});
