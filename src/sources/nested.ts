/** Another repository as a source: the same questions, asked there. */
import type { Artifact, Document } from '../core/format.ts';
import type { Asking, FoundArtifact, FoundDocument, Source } from '../core/source.ts';

export interface NestedOptions {
  /** `org/name` of the repository that is asked. */
  readonly id: string;
  readonly claims: () => readonly string[];
  readonly ready: NonNullable<Source['ready']>;
  readonly owns: NonNullable<Source['owns']>;
  readonly stamp: NonNullable<Source['stamp']>;
  /** How a repository answers; its own order, claims and rules apply. */
  readonly artifact: (want: Artifact, asking: Asking) => Promise<FoundArtifact | undefined>;
  readonly digest: NonNullable<Source['digest']>;
  readonly holds: NonNullable<Source['holds']>;
  readonly answersFor: NonNullable<Source['answersFor']>;
  readonly documents: (want: Document, asking: Asking) => Promise<readonly FoundDocument[]>;
}

export function createNested({ claims, documents, ...same }: NestedOptions): Source {
  return {
    ...same,
    get claims() {
      return claims();
    },
    filters: true,
    document: documents,
  };
}
