/** The compose file and the systemd unit, as the programs that will read them judge them. */
import { execFile } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { parse } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const deploy = join(root, 'config/deploy');
const run = promisify(execFile);

let folder: TemporaryFolder;
beforeAll(async () => {
  folder = await temporaryFolder('larder-deploy');
});
afterAll(() => folder.remove());

/** Why a program can't be run; on CI it has to be there. */
async function without(program: string): Promise<string | undefined> {
  const found = await run('sh', ['-c', `command -v ${program}`]).catch(() => undefined);
  if (found) return undefined;
  const reason = `${program} is not installed: see the packages in .ci/run`;
  if (process.env.CI === 'true') throw new Error(reason);
  return reason;
}

const noCompose = await without('docker-compose');
const noSystemd = await without('systemd-analyze');
const noPromtool = await without('promtool');

describe('the systemd unit', () => {
  const file = join(deploy, 'systemd/larder.service');

  /** Of one setting, in order. */
  async function settings(name: string): Promise<string[]> {
    const text = await readFile(file, 'utf8');
    return [...text.matchAll(new RegExp(`^${name}=(.*)$`, 'gm'))].map(([, value = '']) => value);
  }

  it.skipIf(noSystemd)(`is one that systemd takes${noSystemd ? ` (${noSystemd})` : ''}`, async () => {
    // As it will be installed, with this checkout for the program.
    const place = join(folder.path, 'root');
    const unit = join(place, 'etc/systemd/system/larder.service');
    await mkdir(dirname(unit), { recursive: true });
    const text = (await readFile(file, 'utf8')).replaceAll('/opt/larder/', root);
    await writeFile(unit, text);
    const { stdout, stderr } = await run('systemd-analyze', ['verify', '--man=no', unit]);
    expect(`${stdout}${stderr}`).toBe('');
    await writeFile(unit, text.replace('NoNewPrivileges', 'NoNewPrivilegs'));
    const wrong = await run('systemd-analyze', ['verify', '--man=no', unit]).catch(
      (error: { stderr: string }) => error,
    );
    expect(wrong.stderr).toContain('NoNewPrivilegs');
  });

  it.skipIf(noSystemd)('leaves little exposed', async () => {
    const { stdout } = await run('systemd-analyze', ['security', '--offline=true', '--no-pager', file]);
    const [, level = '', word] = /Overall exposure level for \S+: (\d+\.\d+) (\w+)/.exec(stdout) ?? [];
    expect(stdout).not.toContain('UNSAFE');
    expect(word).toBe('OK');
    expect(Number(level)).toBeLessThanOrEqual(1.5);
  });

  it('gives transfers time to end, and open files to 10 000 clients', async () => {
    const config = await loadConfig(join(root, 'config/default.yaml'), {});
    const [stop = ''] = await settings('TimeoutStopSec');
    expect(Number.parseInt(stop, 10) * 1000).toBeGreaterThan(config.server.drainMs);
    expect(Number((await settings('LimitNOFILE'))[0])).toBeGreaterThan(2 * config.server.limits.connections);
  });

  it('is not started again with a configuration that has mistakes, and reads it again on reload', async () => {
    expect(await settings('Restart')).toEqual(['on-failure']);
    expect(await settings('RestartPreventExitStatus')).toEqual(['2']);
    expect(await settings('ExecReload')).toEqual(['/bin/kill -HUP $MAINPID']);
  });

  it('starts a program with options that it has', async () => {
    const [start = ''] = await settings('ExecStart');
    const [program = '', ...args] = start.split(' ');
    const opt = join(folder.path, 'opt');
    await mkdir(opt);
    await symlink(root, join(opt, 'larder'));
    const config = join(folder.path, 'larder.yaml');
    await writeFile(config, 'nonsense: 1\n');
    const own = [program, ...args].map((word) =>
      word.replace(/^\/opt\//, `${opt}/`).replace('/etc/larder/larder.yaml', config),
    );
    const ended = await run(own[0] ?? '', own.slice(1)).catch((error: { code: number; stderr: string }) => error);
    expect(ended).toMatchObject({ code: 2, stderr: expect.stringContaining(config) });
  });
});

interface Service {
  readonly image: string;
  readonly read_only?: boolean;
  readonly cap_drop?: readonly string[];
  readonly security_opt?: readonly string[];
  readonly mem_limit?: string;
  readonly healthcheck?: unknown;
  readonly volumes: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly ports: readonly string[];
  readonly stop_grace_period?: string;
}

describe('the compose file', () => {
  const file = join(deploy, 'compose/compose.yaml');
  let services: Readonly<Record<string, Service>>;

  beforeAll(async () => {
    // Anchors are merged by whoever reads the file.
    services = (parse(await readFile(file, 'utf8'), { merge: true }) as { services: typeof services }).services;
  });

  it.skipIf(noCompose)(`is one that docker-compose takes${noCompose ? ` (${noCompose})` : ''}`, async () => {
    const { stdout } = await run('docker-compose', ['--file', file, 'config']);
    expect(Object.keys((parse(stdout) as { services: object }).services).sort()).toEqual([
      'grafana',
      'larder',
      'prometheus',
    ]);
    const wrong = join(folder.path, 'compose.yaml');
    await writeFile(wrong, (await readFile(file, 'utf8')).replaceAll('mem_limit', 'mem_limitt'));
    await expect(run('docker-compose', ['--file', wrong, 'config'])).rejects.toThrow('mem_limitt');
  });

  it.each(['larder', 'prometheus', 'grafana'])(
    'runs %s read-only, without capabilities, within limits, at a named version',
    (name) => {
      expect(services[name]).toMatchObject({
        read_only: true,
        cap_drop: ['ALL'],
        security_opt: ['no-new-privileges:true'],
        mem_limit: expect.stringMatching(/^\d+[mg]$/),
      });
      expect(services[name]?.image).toMatch(name === 'larder' ? /larder/ : /:v?\d+\.\d+\.\d+$/);
      // Larder's own check is in its image.
      expect(services[name]?.healthcheck === undefined).toBe(name === 'larder');
    },
  );

  it('listens on this machine alone until somebody says otherwise, and holds no secret', () => {
    for (const { ports } of Object.values(services))
      for (const port of ports) expect(port).toMatch(/^(?:127\.0\.0\.1|\$\{LARDER_ADDRESS:-127\.0\.0\.1\}):/);
    const told = Object.values(services).flatMap(({ environment = {} }) => Object.keys(environment));
    expect(told.filter((name) => /password|secret|token/i.test(name))).toEqual([]);
  });

  it('mounts what is there', () => {
    const mounted = Object.values(services).flatMap(({ volumes }) =>
      volumes.filter((volume) => volume.startsWith('.')),
    );
    expect(mounted.length).toBeGreaterThan(3);
    expect(mounted.filter((volume) => !existsSync(join(dirname(file), volume.split(':')[0] ?? '')))).toEqual([]);
  });

  it('gives Larder a configuration for its volume and port, and time to end', async () => {
    expect(services.larder?.environment).toEqual({ LARDER_CONFIG: '/etc/larder/larder.yaml' });
    const config = await loadConfig(join(dirname(file), 'larder/larder.yaml'), {});
    expect(config.server.listen).toEqual({ host: '0.0.0.0', port: 5273 });
    expect(config.storage.path).toBe('/data');
    expect(Number.parseInt(services.larder?.stop_grace_period ?? '', 10) * 1000).toBeGreaterThan(config.server.drainMs);
  });

  it.skipIf(noPromtool)(
    `gives Prometheus a configuration that it takes${noPromtool ? ` (${noPromtool})` : ''}`,
    async () => {
      // The folder as the container will see it.
      const place = join(folder.path, 'prometheus');
      await mkdir(place);
      for (const volume of services.prometheus?.volumes ?? []) {
        const [source = '', target = ''] = volume.split(':');
        if (source.startsWith('.'))
          await symlink(join(dirname(file), source), join(place, target.replace('/etc/prometheus/', '')));
      }
      expect(readdirSync(place).sort()).toEqual(['alerts.yaml', 'prometheus.yml']);
      const { stdout } = await run('promtool', ['check', 'config', join(place, 'prometheus.yml')]);
      expect(stdout).toContain('1 rule files found');
      const { scrape_configs } = parse(await readFile(join(place, 'prometheus.yml'), 'utf8')) as {
        scrape_configs: readonly { job_name: string; static_configs: readonly { targets: readonly string[] }[] }[];
      };
      expect(scrape_configs).toMatchObject([{ job_name: 'larder', static_configs: [{ targets: ['larder:5273'] }] }]);
    },
  );
});
