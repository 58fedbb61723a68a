/** Bundler and `gem` with a home of their own: how each is told its server, and where it puts what it was given. */
import { accessSync, constants } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NewGem } from '../support/rubygems-upstream.ts';
import { filesIn } from './maven-projects.ts';
import { type Ran, run } from './package-managers.ts';

const programs = { ruby: '/usr/bin/ruby', gem: '/usr/bin/gem', bundle: '/usr/bin/bundle' } as const;

/** Why a test with these can't run here; with `CI` set that is an error instead. */
export function missingRuby(): string | undefined {
  for (const [name, path] of Object.entries(programs)) {
    try {
      accessSync(path, constants.X_OK);
    } catch {
      const reason = `${name} is not installed: the packages that .ci/run lists have it`;
      if (process.env.CI === 'true') throw new Error(reason);
      return reason;
    }
  }
  return undefined;
}

const source = (name: string, text: string): Readonly<Record<string, string>> => ({
  [`lib/${name}.rb`]: `module ${name.replace(/(?:^|[-_])(\w)/g, (_, letter: string) => letter.toUpperCase())}; TEXT = ${JSON.stringify(text)}; end\n`,
});

/** Forty gems in one or several versions, which need each other; some for a platform, one for a Ruby to come. */
export function gemsForAll(): NewGem[] {
  const gems: NewGem[] = [];
  for (let i = 0; i < 40; i++) {
    const name = i === 7 ? 'Upper_case-7' : i === 9 ? 'with-2-in-it' : `gem-${'abcdefgh'[i % 8]}${i}`;
    const needs: Record<string, readonly string[]> =
      i >= 10 ? { [`gem-${'abcdefgh'[(i - 10) % 8]}${i - 10}`]: ['>= 1.0', '< 3'] } : {};
    if (i - 10 === 7 || i - 10 === 9) delete needs[`gem-${'abcdefgh'[(i - 10) % 8]}${i - 10}`];
    for (const version of i % 4 === 0 ? ['1.0.0', '1.2.0', '2.0.0.rc1'] : ['1.0.0', '1.10.0']) {
      gems.push({ name, version, needs, ruby: '>= 2.5', files: source(name, `${name} ${version}`) });
    }
  }
  const [one = { name: 'gem-a0', version: '1.2.0' }] = gems;
  gems.push({ ...one, version: '1.2.0', platform: 'java', files: source(one.name, 'java') });
  gems.push({ ...one, version: '1.2.0', platform: 'x86-mswin32-60', files: source(one.name, 'windows') });
  gems.push({ ...one, version: '1.9.0', ruby: '>= 99', files: source(one.name, 'to come') });
  return gems;
}

export interface RubyProject {
  readonly folder: string;
  readonly home: string;
  bundle(...args: readonly string[]): Promise<Ran>;
  gem(...args: readonly string[]): Promise<Ran>;
  ruby(...args: readonly string[]): Promise<Ran>;
  read(path: string): Promise<string>;
  write(path: string, text: string): Promise<void>;
  /** Files of all gems that were installed, by Bundler or by `gem`. */
  installed(): Promise<readonly string[]>;
  /** Forgets what was installed and what the clients have kept. */
  clean(): Promise<void>;
}

/** `names` is what its Gemfile wants of `url`; `more` goes into the environment. */
export async function rubyProject(
  parent: string,
  url: string,
  names: readonly string[],
  more: Readonly<Record<string, string>> = {},
): Promise<RubyProject> {
  const path = await mkdtemp(join(parent, 'ruby-'));
  const [folder, home, gems] = ['project', 'home', 'gems'].map((name) => join(path, name)) as [string, string, string];
  for (const place of [folder, home]) await mkdir(place, { recursive: true });
  const lines = names.map((name) => `gem ${JSON.stringify(name)}`);
  await writeFile(join(folder, 'Gemfile'), `source ${JSON.stringify(url)}\n${lines.join('\n')}\n`);
  const env = {
    LANG: 'C.UTF-8',
    GEM_HOME: gems,
    GEM_PATH: gems,
    GEM_SPEC_CACHE: join(home, 'specs'),
    BUNDLE_PATH: join(folder, 'vendor'),
    BUNDLE_RETRY: '0',
    BUNDLE_JOBS: '2',
    BUNDLE_SILENCE_ROOT_WARNING: '1',
    ...more,
  };
  const ran = (program: string, args: readonly string[]): Promise<Ran> => run(program, args, { folder, home, env });
  return {
    folder,
    home,
    bundle: (...args) => ran(programs.bundle, args),
    gem: (...args) => ran(programs.gem, args),
    ruby: (...args) => ran(programs.ruby, args),
    read: (file) => readFile(join(folder, file), 'utf8'),
    write: (file, text) => writeFile(join(folder, file), text),
    async installed() {
      const found = [...(await filesIn(join(folder, 'vendor'))), ...(await filesIn(gems))];
      return found.filter((file) => /\/gems\/.*\.rb$/.test(file)).map((file) => file.replace(/^.*\/gems\//, ''));
    },
    async clean() {
      for (const place of [join(folder, 'vendor'), gems, home, join(folder, '.bundle')])
        await rm(place, { recursive: true, force: true });
      await mkdir(home, { recursive: true });
    },
  };
}
