/** What Grafana and Prometheus have to find in `grafana/`; whether the expressions find anything is for test/clients/prometheus.test.ts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { alerts, compared, dashboards, type Panel, panelsOf, queryOf, substituted } from '../support/dashboards.ts';
import { root } from '../support/larder.ts';

const formats = ['npm', 'pypi', 'oci', 'maven', 'nuget', 'rubygems', 'generic', 'p2'];
const known = ['stat', 'timeseries', 'bargauge'];
const times = { interval: '1m', range: '6h' };

const overlap = (a: Panel, b: Panel): boolean =>
  a.gridPos.x < b.gridPos.x + b.gridPos.w &&
  b.gridPos.x < a.gridPos.x + a.gridPos.w &&
  a.gridPos.y < b.gridPos.y + b.gridPos.h &&
  b.gridPos.y < a.gridPos.y + a.gridPos.h;

describe('dashboards', () => {
  it('are found by addresses that never change', () => {
    expect(dashboards.map(({ uid }) => uid)).toEqual([
      'larder-access',
      'larder-overview',
      'larder-store',
      'larder-upstreams',
    ]);
  });

  it.each(dashboards)('$file loads: schema, ids, places, a data source to choose', ({ panels, ...dashboard }) => {
    // 39 is that of Grafana 10.3; later ones take it as it is or bring it up to date themselves.
    expect(dashboard.schemaVersion).toBe(39);
    expect(dashboard.tags).toEqual(['larder']);
    expect(dashboard.description).not.toBe('');
    const ids = panels.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
    const collisions = panels.flatMap((a, index) => panels.slice(index + 1).filter((b) => overlap(a, b)));
    expect(collisions).toEqual([]);
    expect(panels.filter(({ gridPos: { x, w } }) => x + w > 24)).toEqual([]);
    const [first] = dashboard.templating.list;
    expect([first?.name, first?.type, first?.query]).toEqual(['datasource', 'datasource', 'prometheus']);
    expect(dashboard.templating.list.map(({ name }) => name)).toContain('org');
  });

  const all = dashboards.flatMap((dashboard) =>
    panelsOf(dashboard).map((panel) => ({ dashboard, panel, name: `${dashboard.file}: ${panel.title}` })),
  );

  it.each(all)('$name says what it means, in which unit, and when it is bad', ({ dashboard, panel }) => {
    const { description = '', fieldConfig, targets = [], datasource } = panel;
    expect(known).toContain(panel.type);
    expect(description).toMatch(/^.{60,}\.$/);
    expect(fieldConfig?.defaults.unit).toBeTypeOf('string');
    expect(fieldConfig?.defaults.thresholds?.steps[0]?.value).toBeNull();
    expect(datasource?.uid).toBe('$' + '{datasource}');
    expect(targets).not.toEqual([]);
    for (const { expr, legendFormat } of targets) {
      expect(() => substituted(expr, dashboard, times)).not.toThrow();
      if (panel.type !== 'stat') expect(legendFormat).not.toMatch(/^(?:|__auto)$/);
      for (const [, label = ''] of legendFormat.matchAll(/\{\{(\w+)\}\}/g))
        expect(expr).toMatch(new RegExp(`\\b${label}\\b`));
    }
  });

  it('name no format: a new one needs no change', () => {
    const quoted = new RegExp(`["|](?:${formats.join('|')})["|]`);
    const texts = dashboards.flatMap((one) => [
      ...panelsOf(one).flatMap(({ targets = [] }) => targets.map(({ expr }) => expr)),
      ...one.templating.list.filter(({ type }) => type === 'query').map(queryOf),
    ]);
    expect(texts.filter((text) => quoted.test(text))).toEqual([]);
  });
});

describe('alerts', () => {
  const page = readFileSync(join(root, 'docs/operating.md'), 'utf8');
  const sections = new Map(
    [...page.matchAll(/^### (\w+)\n\n([\s\S]*?)(?=\n#|$(?![\s\S]))/gm)].map(([, name = '', text = '']) => [name, text]),
  );

  it.each(alerts)('$alert says how urgent it is, what is the matter, and where it stands what to do', (rule) => {
    expect(['page', 'ticket', 'info']).toContain(rule.labels.severity);
    expect(rule.annotations.summary).toMatch(/^.{20,}\.$/);
    expect(rule.annotations.runbook).toBe(`docs/operating.md#${rule.alert.toLowerCase()}`);
    expect(sections.get(rule.alert) ?? '').toMatch(/^.{40,}/);
    for (const [, label = ''] of (rule.annotations.summary ?? '').matchAll(/\$labels\.(\w+)/g)) {
      const aggregated = /\bby \(([^)]+)\)/.exec(rule.expr)?.[1];
      if (aggregated !== undefined) expect(aggregated.split(', ')).toContain(label);
    }
  });

  it('have no paragraph left of one that is gone', () => {
    expect([...sections.keys()].filter((name) => name.startsWith('Larder')).sort()).toEqual(
      alerts.map(({ alert }) => alert).sort(),
    );
  });

  it('are each made to fire by a test', () => {
    const tests = ['alerts.promtool.yaml', 'alerts-of-days.promtool.yaml'].map((file) =>
      readFileSync(join(root, 'test/clients', file), 'utf8'),
    );
    const tried = [...tests.join('\n').matchAll(/alertname="(Larder\w+)"/g)].map((match) => match[1]);
    expect(tried.toSorted()).toEqual(alerts.map(({ alert }) => alert).sort());
  });

  it.each([
    ['one comparison', 'up == 0', ['up']],
    ['both sides', 'sum by (a) (rate(x{b="<"}[5m])) > 0.1 * y', ['sum by (a) (rate(x{b="<"}[5m]))', '0.1 * y']],
    ['several conditions', 'a > 1 and b / c < 2', ['a', 'b / c']],
    ['a comparison in brackets', 'a / (b > 0) > 0.5', ['a / (b > 0)']],
    ['a number that is computed', 'time() - a > 30 * 86400', ['time() - a']],
    ['matchers', 'a{b!="c",d=~"e"} >= 1', ['a{b!="c",d=~"e"}']],
  ])('are taken apart into what is compared: %s', (_name, expr, parts) => {
    expect(compared(expr)).toEqual(parts);
  });
});
