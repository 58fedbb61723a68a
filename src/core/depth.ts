/** How deeply JSON is nested: what has as many levels as the stack can be read, but never be written again. */

/** Whether there are more levels of lists and objects in it. */
export function isDeeperThan(value: unknown, levels: number): boolean {
  if (typeof value !== 'object' || value === null) return false;
  if (levels === 0) return true;
  for (const one of Object.values(value)) if (isDeeperThan(one, levels - 1)) return true;
  return false;
}
