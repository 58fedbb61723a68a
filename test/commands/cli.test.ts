import { execFile } from 'node:child_process';
import { chmod, copyFile, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { command, larder, program } from './larder.ts';

let folder: TemporaryFolder;

beforeAll(async () => {
  folder = await temporaryFolder('larder-cli');
});

afterAll(() => folder.remove());

describe('the program', () => {
  it('runs from any folder', async () => {
    const { code, out } = await larder(['--version'], { cwd: folder.path });
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(code).toBe(0);
  });

  it('runs through links to it, also relative ones and links to links', async () => {
    const bin = join(folder.path, 'a', 'b');
    await mkdir(bin, { recursive: true });
    await symlink(program, join(bin, 'larder'));
    await symlink(join('a', 'b', 'larder'), join(folder.path, 'lard'));
    const { code, out } = await larder(['--version'], { program: join(folder.path, 'lard'), cwd: '/' });
    expect(out).toMatch(/^\d+\.\d+\.\d+\n$/);
    expect(code).toBe(0);
  });

  describe('in an installation without its own Node', () => {
    const place = (): string => join(folder.path, 'with space');

    /** A Node that says it is of this version and tells what it was asked to run. */
    async function fakeNode(version: string): Promise<Record<string, string>> {
      const bin = join(folder.path, `node-${version}`);
      await mkdir(bin, { recursive: true });
      await writeFile(join(bin, 'node'), `#!/bin/sh\nif [ "$1" = -p ]; then echo ${version}; else echo "$@"; fi\n`);
      await chmod(join(bin, 'node'), 0o755);
      return { PATH: `${bin}:/usr/bin:/bin` };
    }

    beforeAll(async () => {
      await mkdir(join(place(), 'bin'), { recursive: true });
      await copyFile(program, join(place(), 'bin', 'larder'));
    });

    it("takes the machine's, if it is new enough", async () => {
      const run = await larder(['check', 'a b'], {
        program: join(place(), 'bin', 'larder'),
        env: await fakeNode('26'),
      });
      expect(run).toMatchObject({ code: 0, out: `--max-semi-space-size=16 ${place()}/src/cli.ts check a b\n` });
    });

    it('leaves the young generation alone that somebody has set up', async () => {
      const env = { ...(await fakeNode('26')), NODE_OPTIONS: '--max-semi-space-size=64' };
      const run = await larder(['check'], { program: join(place(), 'bin', 'larder'), env });
      expect(run).toMatchObject({ code: 0, out: `${place()}/src/cli.ts check\n` });
    });

    it('says what to do if it is too old', async () => {
      const run = await larder(['check'], { program: join(place(), 'bin', 'larder'), env: await fakeNode('20') });
      expect(run).toMatchObject({ code: 2, out: '' });
      expect(run.err).toBe(`larder: needs Node 24 or newer; run "npm ci" in ${place()}, which brings it\n`);
    });
  });
});

describe('help', () => {
  it('is printed when asked for, and names every command', async () => {
    const { code, out, err } = await command(['--help']);
    expect({ code, err }).toEqual({ code: 0, err: '' });
    for (const name of ['serve', 'check', 'health', 'verify', 'gc', 'setup'])
      expect(out).toMatch(new RegExp(`^  ${name} `, 'm'));
  });

  it('goes to standard error when nothing was asked for', async () => {
    const { code, out, err } = await command([]);
    expect({ code, out }).toEqual({ code: 2, out: '' });
    expect(err).toContain('Usage: larder COMMAND');
  });

  it.each(['serve', 'check', 'health', 'verify', 'gc', 'setup'])('of %s', async (name) => {
    const { code, out } = await command([name, '--help']);
    expect(code).toBe(0);
    expect(out).toContain(`Usage: larder ${name}`);
    expect(out).toContain('--config FILE');
    expect((await command(['help', name])).out).toBe(out);
  });
});

describe('wrong use', () => {
  it.each(['frobnicate', 'constructor'])('%s: names every command there is', async (name) => {
    const names = [...(await command(['--help'])).out.matchAll(/^ {2}(\S+) /gm)].map((match) => match[1]);
    const err = `larder: there is no command "${name}"; there is ${names.join(', ')}\n`;
    expect(await command([name])).toEqual({ code: 2, out: '', err });
  });

  it.each([
    [['chekc'], 'there is no command "chekc"; did you mean "check"?'],
    [['check', '--jsn'], 'unknown option --jsn; did you mean --json?'],
    [['check', '--frobnicate'], 'unknown option --frobnicate; larder check --help lists them'],
    [['check', 'x'], 'check takes no "x"; larder check --help says what it takes'],
    [['check', '--config'], '--config needs a value: --config FILE'],
    [['check', '--config', '--json'], '--config needs a value: --config FILE'],
    [['check', '--json=yes'], '--json takes no value'],
    [['gc', '--grace', 'soon'], '--grace soon is no duration; write such as 24h or 7d'],
  ])('%j: one line on standard error, exit code 2', async (args, message) => {
    expect(await command(args)).toEqual({ code: 2, out: '', err: `larder: ${message}\n` });
  });
});

it('says so on standard error and in the exit code', async () => {
  const run = await larder(['chekc']);
  expect(run).toEqual({ code: 2, out: '', err: 'larder: there is no command "chekc"; did you mean "check"?\n' });
});

it('does not complain when nobody reads on', async () => {
  const { stdout, stderr } = await promisify(execFile)('sh', ['-c', `"${program}" check --json | head -c 1`]);
  expect({ stdout, stderr }).toEqual({ stdout: '{', stderr: '' });
});
