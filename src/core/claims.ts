/** Who waits for a turn at something that all organisations share: an upstream's connections, worker threads. */

export interface Claim {
  /** The organisation whose share it comes out of. Absent: nobody's in particular, which is a share of its own. */
  readonly org?: string;
  readonly priority: 'client' | 'background';
}

/** All who wait for the same thing: it comes when the first of their turns does. */
export interface Claims {
  /** Whoever began it, and is told of as its owner. */
  readonly first: Claim;
  readonly all: readonly Claim[];
  /** Waits for it too, with everybody who waits for `others` now or later. */
  join(others: Claims): void;
  /** Told of everybody who joins from now on. Returns the function that ends it. */
  listen(listener: (claim: Claim) => void): () => void;
}

/** Who waits for what a question asks: whoever asks it and, once others may have joined, those. */
export function claimsOf(asking: {
  readonly org?: string;
  readonly priority?: Claim['priority'];
  readonly claims?: Claims;
}): Claims {
  const { claims, org, priority = 'client' } = asking;
  return claims ?? createClaims({ priority, ...(org === undefined ? {} : { org }) });
}

export function createClaims(first: Claim): Claims {
  const all = [first];
  // Most are waited for by one, and nobody listens.
  let listeners: Set<(claim: Claim) => void> | undefined;
  function add(claim: Claim): void {
    // A thousand clients of one organisation wait no less than one of them.
    if (all.some(({ org, priority }) => org === claim.org && priority === claim.priority)) return;
    all.push(claim);
    for (const listener of listeners ?? []) listener(claim);
  }
  const claims: Claims = {
    first,
    all,
    join(others) {
      if (others === claims) return;
      for (const claim of others.all) add(claim);
      others.listen(add);
    },
    listen(listener) {
      listeners ??= new Set();
      listeners.add(listener);
      return () => void listeners?.delete(listener);
    },
  };
  return claims;
}
