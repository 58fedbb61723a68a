/** Checks manifests against Kubernetes' own schemas, and finds fields that no schema knows: a misspelt one is passed over in silence by a cluster. */
import { createRequire } from 'node:module';
import { join } from 'node:path';

export interface Manifest {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly labels?: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
}

/** A class of the package `kubernetes-models`: `validate` is compiled from the schema and throws. */
interface Model {
  new (data: object): object;
  readonly prototype: { validate(this: object): void };
}

/** What is wrong with manifests, in words. `folder` is the one that test/clients/install.sh fills. */
export function kubernetesSchemas(folder: string): (manifest: Manifest) => string[] {
  const load = createRequire(join(folder, 'node_modules/_'));

  function modelOf({ apiVersion, kind }: Manifest): Model | undefined {
    try {
      return (load(`kubernetes-models/${apiVersion}/${kind}`) as Readonly<Record<string, Model>>)[kind];
    } catch (error) {
      if (['MODULE_NOT_FOUND', 'ERR_PACKAGE_PATH_NOT_EXPORTED'].includes((error as { code?: string }).code ?? ''))
        return undefined;
      throw error;
    }
  }

  return (manifest) => {
    const name = `${manifest.kind} ${manifest.metadata?.name}`;
    const model = modelOf(manifest);
    if (!model) return [`${name}: there is no ${manifest.kind} in ${manifest.apiVersion}`];
    const watched = watch(new model(manifest));
    try {
      model.prototype.validate.call(watched.object);
    } catch (error) {
      return [`${name}: ${(error as Error).message}`];
    }
    return watched.unread().map((path) => `${name}: no schema knows ${path}`);
  };
}

/** The schemas say nothing about unknown fields, but their validators look at every field that they know. */
function watch(root: object): { readonly object: object; unread(): string[] } {
  const seen = new Map<object, Set<string>>();
  const proxies = new Map<object, object>();

  function proxyOf(target: object): object {
    const known = proxies.get(target);
    if (known) return known;
    const read = new Set<string>();
    const proxy = new Proxy(target, {
      get(object, key, receiver) {
        if (typeof key === 'string') read.add(key);
        const value: unknown = Reflect.get(object, key, receiver);
        return typeof value === 'object' && value !== null ? proxyOf(value) : value;
      },
    });
    seen.set(target, read);
    proxies.set(target, proxy);
    return proxy;
  }

  function unreadIn(value: unknown, path: string): string[] {
    if (typeof value !== 'object' || value === null) return [];
    return Object.entries(value).flatMap(([key, inner]) => {
      const at = `${path}/${key}`;
      return seen.get(value)?.has(key) ? unreadIn(inner, at) : [at];
    });
  }

  return { object: proxyOf(root), unread: () => unreadIn(root, '') };
}
