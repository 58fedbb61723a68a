/** Every expression of every panel and alert, evaluated by a real Prometheus over a Larder that is used: one that finds nothing is broken. */
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type Busy, startBusy } from '../support/busy.ts';
import {
  alerts,
  alertsFile,
  compared,
  dashboards,
  grafanaFolder,
  panelsOf,
  queryOf,
  recordings,
  substituted,
} from '../support/dashboards.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { root } from '../support/larder.ts';
import { type Prometheus, run, startPrometheus } from '../support/prometheus.ts';
import { eventually } from '../support/wait.ts';

function isMissing(): boolean {
  try {
    execFileSync('promtool', ['--version'], { stdio: 'ignore' });
    return false;
  } catch {
    if (process.env.CI === 'true')
      throw new Error('prometheus is not installed: the packages that .ci/run lists have it');
    return true;
  }
}

const everyMs = 500;
const roundsToSee = 8;
const times = { interval: '10s', range: '1m' };
/** As Grafana puts more than one value of a variable. */
const several = {
  org: '(acme|public)',
  repository: '(acme/files|public/npm)',
  format: '(npm|generic)',
  upstream: '(hub|files)',
};

describe.skipIf(isMissing())('Prometheus', () => {
  let folder: TemporaryFolder;
  let busy: Busy;
  let prometheus: Prometheus;

  beforeAll(async () => {
    folder = await temporaryFolder('larder-prometheus');
    busy = await startBusy();
    prometheus = await startPrometheus({ target: busy.address, folder: folder.path, rules: [alertsFile], everyMs });
    await reads(2);
    for (let round = 0; round < roundsToSee; round++) {
      await busy.round();
      await reads(1);
    }
    await reads(2);
  }, 120_000);

  afterAll(async () => {
    await prometheus?.close();
    await busy?.close();
    await folder?.remove();
  });

  /** Until it has read the metrics so many more times. */
  async function reads(more: number): Promise<void> {
    const seen = async () => (await prometheus.query('count_over_time(up{job="larder"}[5m])'))[0]?.values[0]?.[1] ?? 0;
    const before = await seen();
    await eventually('metrics were read', async () => (await seen()) >= before + more, 20_000);
  }

  async function numbers(expr: string): Promise<readonly number[]> {
    const found = await prometheus.query(expr);
    return found.flatMap(({ values }) => values.map(([, value]) => value)).filter((value) => Number.isFinite(value));
  }

  test('reads everything that is told', async () => {
    expect(await numbers('up{job="larder"}')).toEqual([1]);
  });

  describe.each(dashboards)('finds in $file', (dashboard) => {
    test.each(
      panelsOf(dashboard).flatMap(({ title, targets = [] }) =>
        targets.map(({ refId, expr }) => ({ title, refId, expr })),
      ),
    )('$title, $refId', async ({ expr }) => {
      expect(await numbers(substituted(expr, dashboard, times)), expr).not.toEqual([]);
      // Whatever is found then, several values at once have to be understood.
      await prometheus.query(substituted(expr, dashboard, { ...times, ...several }));
    });

    test.each(dashboard.templating.list.filter(({ type }) => type === 'query'))(
      'values for $name',
      async (variable) => {
        const query = substituted(queryOf(variable), dashboard, times);
        const [, match = '', label = ''] = /^label_values\((.+), *(\w+)\)$/.exec(query) ?? [];
        const only = new RegExp(/^\/(.*)\/$/.exec(variable.regex ?? '')?.[1] ?? '');
        const values = (await prometheus.labelValues(label, match)).filter((value) => only.test(value));
        expect(values).not.toEqual([]);
        expect(values).not.toContain('-');
      },
    );

    test.each(dashboard.annotations.list.flatMap(({ name, expr }) => (expr === undefined ? [] : [{ name, expr }])))(
      'the annotation $name',
      async ({ expr }) => {
        for (const part of compared(substituted(expr, dashboard, times))) {
          expect(await numbers(part), part).not.toEqual([]);
        }
      },
    );
  });

  test.each(recordings)('records $record', async ({ record }) => {
    expect(await numbers(record)).not.toEqual([]);
  });

  test.each(alerts)('has something to compare for $alert', async ({ expr }) => {
    const parts = compared(expr);
    expect(parts).not.toEqual([]);
    for (const part of parts) expect(await numbers(part), part).not.toEqual([]);
  });

  test('evaluates every alert', async () => {
    expect(await prometheus.alerts()).toEqual(Object.fromEntries(alerts.map(({ alert }) => [alert, 'ok'])));
  });

  test('names no package and no person anywhere', async () => {
    const metrics = await (await fetch(`http://${busy.address}/metrics`)).text();
    expect(metrics).toContain('larder_hosted_changes_total{repository="acme/files"');
    expect(
      metrics.match(/package-\d|unsteady-|wrong-\d|file-\d|alice|robot|rita|\bbob\b|lrd_|127\.0\.0\.1:\d+\/./g),
    ).toBeNull();
  });
});

describe.skipIf(isMissing())('promtool', () => {
  test.each([
    ['the rules', ['check', 'rules', alertsFile]],
    ['the example of a configuration', ['check', 'config', join(grafanaFolder, 'prometheus.yml')]],
    [
      'what alerts do',
      ['test', 'rules', ...['', '-of-days'].map((more) => join(root, `test/clients/alerts${more}.promtool.yaml`))],
    ],
  ])('accepts %s', async (_name, args) => {
    const ran = await run('promtool', args).catch(
      (error: { readonly stdout: string; readonly stderr: string }) => error,
    );
    expect(`${ran.stdout}${ran.stderr}`).not.toMatch(/FAILED|error/i);
  });
});
