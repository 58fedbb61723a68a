/**
 * Stands in for a repository whose journal can't be read, so that all others are served. Nothing is said about what is hosted
 * there: "no such package" would send those who ask elsewhere.
 */
import type { Hosting } from './hosting.ts';

/** `open` is tried again whenever somebody gets ready, or publishes. */
export function lateHosting(error: unknown, open: () => Promise<Hosting>): Hosting {
  let trouble = error;
  let opened: Hosting | undefined;

  async function opening(): Promise<Hosting> {
    try {
      opened ??= await open();
      return opened;
    } catch (error) {
      trouble = error;
      throw error;
    }
  }

  function known(): Hosting {
    if (opened) return opened;
    throw trouble;
  }

  return {
    ready: async () => (await opening()).ready(),
    isCurrent: () => opened?.isCurrent() ?? false,
    has: (name) => known().has(name),
    knew: (name) => known().knew(name),
    sourceOf: (name) => known().sourceOf(name),
    view: (narrowed) => known().view(narrowed),
    revision: (name) => known().revision(name),
    // Other repositories of the organisation share its room, and can be published to.
    usage: () => opened?.usage() ?? { bytes: 0, files: 0, versions: 0, packages: 0 },
    commit: async (request) => (await opening()).commit(request),
    async *history(before) {
      yield* (await opening()).history(before);
    },
  };
}
