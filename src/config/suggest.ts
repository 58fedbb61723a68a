/** The name that was probably meant. */

/** Optimal string alignment: insertions, deletions, replacements and swaps of neighbours. */
function distance(a: string, b: string): number {
  let before: number[] = [];
  let above = Array.from({ length: b.length + 1 }, (_, i) => i);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let best = Math.min((row[j - 1] ?? 0) + 1, (above[j] ?? 0) + 1, (above[j - 1] ?? 0) + (same ? 0 : 1));
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      if (swapped) best = Math.min(best, (before[j - 2] ?? 0) + 1);
      row.push(best);
    }
    before = above;
    above = row;
  }
  return above[b.length] ?? 0;
}

function plain(name: string): string {
  return name.toLowerCase().replaceAll(/[-_.\s]/g, '');
}

/** The nearest of the names, if one is near enough to be a slip of the finger. */
export function nearest(name: string, names: Iterable<string>): string | undefined {
  const wanted = plain(name).slice(0, 100);
  let best: { readonly name: string; readonly away: number } | undefined;
  for (const candidate of names) {
    const away = distance(wanted, plain(candidate));
    const near = away <= Math.max(1, Math.floor(Math.min(wanted.length, candidate.length) / 3));
    if (near && (best === undefined || away < best.away)) best = { name: candidate, away };
  }
  return best?.name;
}

/** `; did you mean "x"?`, or nothing. */
export function guess(name: string, names: Iterable<string>): string {
  const near = nearest(name, names);
  return near === undefined ? '' : `; did you mean "${near}"?`;
}

/** The same, or else which names there are, if they are few. */
export function hint(name: string, names: Iterable<string>): string {
  const all = [...names];
  const near = guess(name, all);
  if (near !== '' || all.length === 0 || all.length > 30) return near;
  return `; there is ${all.map((known) => `"${known}"`).join(', ')}`;
}
