/** What is in `grafana/`: panels, variables and rules, and their expressions as Grafana would send them. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { parse } from 'yaml';
import { root } from './larder.ts';

export interface Target {
  readonly refId: string;
  readonly expr: string;
  readonly legendFormat: string;
  readonly instant: boolean;
}

export interface Panel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly datasource?: { readonly uid: string };
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: {
    readonly defaults: {
      readonly unit?: string;
      readonly thresholds?: { readonly steps: readonly { readonly color: string; readonly value: number | null }[] };
    };
  };
  readonly targets?: readonly Target[];
}

export interface Variable {
  readonly name: string;
  readonly type: string;
  readonly definition?: string;
  readonly query: string | { readonly query: string };
  readonly regex?: string;
  readonly allValue?: string;
}

export interface Dashboard {
  readonly file: string;
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly schemaVersion: number;
  readonly tags: readonly string[];
  readonly panels: readonly Panel[];
  readonly templating: { readonly list: readonly Variable[] };
  readonly annotations: { readonly list: readonly { readonly name: string; readonly expr?: string }[] };
}

export interface Alert {
  readonly alert: string;
  readonly expr: string;
  readonly for?: string;
  readonly labels: Readonly<Record<string, string>>;
  readonly annotations: Readonly<Record<string, string>>;
}

export interface Recording {
  readonly record: string;
  readonly expr: string;
}

export const grafanaFolder = join(root, 'grafana');
export const alertsFile = join(grafanaFolder, 'alerts.yaml');

export const dashboards: readonly Dashboard[] = readdirSync(join(grafanaFolder, 'dashboards'))
  .sort()
  .map((file) => ({ file, ...JSON.parse(readFileSync(join(grafanaFolder, 'dashboards', file), 'utf8')) }));

const rules = (
  parse(readFileSync(alertsFile, 'utf8')) as {
    readonly groups: readonly { readonly rules: readonly (Alert | Recording)[] }[];
  }
).groups.flatMap((group) => group.rules);
export const alerts: readonly Alert[] = rules.filter((rule) => 'alert' in rule);
export const recordings: readonly Recording[] = rules.filter((rule) => 'record' in rule);

/** Without rows. */
export function panelsOf(dashboard: Dashboard): readonly Panel[] {
  return dashboard.panels.filter(({ type }) => type !== 'row');
}

/** The query of a variable, as text. */
export function queryOf({ query }: Variable): string {
  return typeof query === 'string' ? query : query.query;
}

/** With every variable at All, or at what is given; `interval` for rates, `range` for what the dashboard shows. */
export function substituted(
  expr: string,
  { templating }: Pick<Dashboard, 'templating'>,
  {
    interval,
    range,
    ...chosen
  }: Readonly<Record<string, string>> & { readonly interval: string; readonly range: string },
): string {
  const values = new Map<string, string>([
    ['__rate_interval', interval],
    ['__interval', interval],
    ['__range', range],
    ...templating.list.map(({ name, allValue = '.*' }) => [name, chosen[name] ?? allValue] as const),
  ]);
  return expr.replaceAll(/\$(?:\{(\w+)\}|(\w+))/g, (whole, braced?: string, bare?: string) => {
    const value = values.get(braced ?? bare ?? '');
    if (value === undefined) throw new Error(`Nobody defines ${whole}, which this names: ${expr}`);
    return value;
  });
}

/**
 * Everything in an alert's expression that has to have a value before it can be compared with anything: what stands between the
 * comparisons, and between `and` and `unless`, that are in no brackets. Numbers are left out.
 */
export function compared(expr: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let quoted = false;
  let part = '';
  for (const piece of expr.split(/("|[([{]|[)\]}]|[<>=!]=|[<>]|\b(?:and|unless|or)\b)/)) {
    if (piece === '"') quoted = !quoted;
    if (!quoted && /^[([{]$/.test(piece)) depth++;
    if (!quoted && /^[)\]}]$/.test(piece)) depth--;
    if (!quoted && depth === 0 && /^(?:[<>=!]=|[<>]|and|unless|or)$/.test(piece)) {
      parts.push(part);
      part = '';
    } else part += piece;
  }
  return [...parts, part].map((text) => text.trim()).filter((text) => !/^[\d\s.*+/-]*$/.test(text));
}
