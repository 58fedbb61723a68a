/** Which of two versions is the later one (PEP 440). */
import { canonicalVersion } from './name.ts';

interface Parts {
  /** Epoch and release, without zeros at the end. */
  readonly release: readonly number[];
  /** Stage, post and development release: what is missing stands where it sorts. */
  readonly suffixes: readonly number[];
  readonly local: readonly string[];
  readonly isPrerelease: boolean;
}

const canonical = /^(?:(\d+)!)?(\d+(?:\.\d+)*)(?:(a|b|rc)(\d+))?(?:\.post(\d+))?(?:\.dev(\d+))?(?:\+(.+))?$/;
const stages: Readonly<Record<string, number>> = { a: 0, b: 1, rc: 2 };

function partsOf(version: string): Parts | undefined {
  const match = canonical.exec(canonicalVersion(version));
  if (!match) return undefined;
  const [, epoch = '0', release = '', stage, stageNumber, post, dev, local] = match;
  // A development release of the release itself comes before its first alpha.
  const stageRank = stage !== undefined ? (stages[stage] ?? 0) : dev !== undefined && post === undefined ? -1 : 3;
  return {
    release: [Number(epoch), ...release.split('.').map(Number)],
    suffixes: [
      stageRank,
      Number(stageNumber ?? 0),
      post === undefined ? -1 : Number(post),
      dev === undefined ? Number.POSITIVE_INFINITY : Number(dev),
    ],
    local: local?.split('.') ?? [],
    isPrerelease: stage !== undefined || dev !== undefined,
  };
}

function compareNumbers(one: readonly number[], other: readonly number[]): number {
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const [left, right] = [one[at] ?? 0, other[at] ?? 0];
    if (left !== right) return left < right ? -1 : 1;
  }
  return 0;
}

/** Numbers are later than words, and more parts later than fewer. */
function compareLocal(one: readonly string[], other: readonly string[]): number {
  for (let at = 0; at < Math.max(one.length, other.length); at++) {
    const [left, right] = [one[at], other[at]];
    if (left === right) continue;
    if (left === undefined || right === undefined) return left === undefined ? -1 : 1;
    const [leftIsNumber, rightIsNumber] = [/^\d+$/.test(left), /^\d+$/.test(right)];
    if (leftIsNumber !== rightIsNumber) return leftIsNumber ? 1 : -1;
    if (leftIsNumber && Number(left) !== Number(right)) return Number(left) < Number(right) ? -1 : 1;
    if (!leftIsNumber) return left < right ? -1 : 1;
  }
  return 0;
}

/** Whether it is a version in the sense of PEP 440 at all: installers pass over anything else. */
export function isVersion(version: string): boolean {
  return partsOf(version) !== undefined;
}

export function isPrerelease(version: string): boolean {
  return partsOf(version)?.isPrerelease ?? true;
}

/** Negative when the first is the earlier one. What is no version comes before all that are. */
export function compareVersions(one: string, other: string): number {
  const [left, right] = [partsOf(one), partsOf(other)];
  if (!left || !right) return Number(left !== undefined) - Number(right !== undefined);
  return (
    compareNumbers(left.release, right.release) ||
    compareNumbers(left.suffixes, right.suffixes) ||
    compareLocal(left.local, right.local)
  );
}
