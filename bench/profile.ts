/** Where the time went, from a file that `node --cpu-prof` wrote. */
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';

interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number;
    readonly callFrame: { readonly functionName: string; readonly url: string; readonly lineNumber: number };
  }[];
  readonly samples: readonly number[];
  readonly timeDeltas: readonly number[];
}

/** Functions by their own time, the slowest first, as a share of the time in which there was something to do. */
export async function summarise(folder: string, most = 30): Promise<string> {
  const files = (await readdir(folder)).filter((name) => name.endsWith('.cpuprofile'));
  const lines: string[] = [];
  for (const file of files) {
    const profile = JSON.parse(await readFile(join(folder, file), 'utf8')) as CpuProfile;
    const names = new Map(profile.nodes.map(({ id, callFrame }) => [id, nameOf(callFrame)]));
    const times = new Map<string, number>();
    profile.samples.forEach((id, n) => {
      const name = names.get(id) ?? '?';
      times.set(name, (times.get(name) ?? 0) + (profile.timeDeltas[n] ?? 0));
    });
    times.delete('(idle)');
    const total = [...times.values()].reduce((sum, time) => sum + time, 0);
    const sorted = [...times].sort(([, a], [, b]) => b - a).slice(0, most);
    lines.push(`${file}: ${(total / 1e6).toFixed(1)} s`);
    for (const [name, time] of sorted) lines.push(`${((time / total) * 100).toFixed(1).padStart(6)} %  ${name}`);
  }
  return lines.join('\n');
}

function nameOf(frame: { functionName: string; url: string; lineNumber: number }): string {
  const place = frame.url.split('/').slice(-2).join('/');
  return `${frame.functionName || '(anonymous)'}${place ? ` ${place}:${frame.lineNumber + 1}` : ''}`;
}
