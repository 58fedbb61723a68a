/** The Helm chart: what it makes of several sets of values, against the schemas of Kubernetes. */
import { execFile } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, beforeAll, describe, expect, it, test } from 'vitest';
import { parse, parseAllDocuments } from 'yaml';
import { loadConfig } from '../../src/config/load.ts';
import type { Config } from '../../src/config/settings.ts';
import { type TemporaryFolder, temporaryFolder } from '../support/folder.ts';
import { kubernetesSchemas, type Manifest } from '../support/kubernetes.ts';
import { root } from '../support/larder.ts';
import { findProgram, missing } from './package-managers.ts';

const run = promisify(execFile);
const chart = join(root, 'config/deploy/helm/larder');
const reason = missing('helm');
// Beside its schemas lies the program: both come with test/clients/install.sh.
const complaints = kubernetesSchemas(process.env.CLIENTS_DIR ?? join(root, '.clients'));

type Values = Readonly<Record<string, unknown>>;

const image = { repository: 'registry.example.com/larder' };
const trial: Values = {
  image: { ...image, digest: `sha256:${'a'.repeat(64)}` },
  persistence: { enabled: false, size: '5Gi' },
  restartOnChange: false,
  service: { type: 'NodePort', port: 8080 },
};
const everything: Values = {
  image: { ...image, tag: '0.1.0-1' },
  imagePullSecrets: [{ name: 'registry' }],
  config: {
    server: { publicUrl: 'https://larder.example.com', trustedProxies: ['10.0.0.0/8'], drain: '60s' },
    storage: { maxSize: '400GB' },
    upstreams: {
      inner: { url: 'https://packages.example.com/npm', format: 'npm', auth: { bearer: '$' + '{INNER_TOKEN}' } },
    },
    orgs: {
      acme: {
        repositories: { npm: { format: 'npm', sources: [{ hosted: true, claims: ['@acme/*'] }, { remote: 'inner' }] } },
        access: [{ who: ['members'], may: ['read'] }],
      },
    },
  },
  tls: { secretName: 'larder-tls' },
  env: [{ name: 'INNER_TOKEN', valueFrom: { secretKeyRef: { name: 'inner', key: 'token' } } }],
  envFrom: [{ secretRef: { name: 'more' } }],
  extraVolumes: [{ name: 'authorities', configMap: { name: 'authorities' } }],
  extraVolumeMounts: [{ name: 'authorities', mountPath: '/etc/authorities', readOnly: true }],
  persistence: { size: '500Gi', storageClass: 'fast', annotations: { 'example.com/backup': 'daily' } },
  service: { annotations: { 'example.com/a': 'b' } },
  ingress: {
    enabled: true,
    className: 'nginx',
    annotations: { 'nginx.ingress.kubernetes.io/proxy-body-size': '0' },
    hosts: ['larder.example.com', 'images.example.com'],
    tls: [{ secretName: 'larder-front', hosts: ['larder.example.com'] }],
  },
  terminationGracePeriodSeconds: 90,
  podAnnotations: { 'example.com/c': 'd' },
  podLabels: { tier: 'tools' },
  nodeSelector: { disk: 'ssd' },
  tolerations: [{ key: 'tools', operator: 'Exists', effect: 'NoSchedule' }],
  affinity: {
    nodeAffinity: {
      requiredDuringSchedulingIgnoredDuringExecution: {
        nodeSelectorTerms: [{ matchExpressions: [{ key: 'zone', operator: 'In', values: ['a'] }] }],
      },
    },
  },
  priorityClassName: 'tools',
  podDisruptionBudget: { enabled: true },
  networkPolicy: { enabled: true, from: [{ namespaceSelector: { matchLabels: { builds: 'allowed' } } }] },
  serviceMonitor: { enabled: true, labels: { release: 'prometheus' } },
  prometheusRule: { enabled: true },
  dashboards: { enabled: true },
};
const sets: Readonly<Record<string, Values>> = {
  'only what is required': { image },
  'a claim that exists': { image, persistence: { existingClaim: 'old' } },
  'a trial': trial,
  everything,
};

interface Container {
  readonly image: string;
  readonly env?: readonly { readonly name: string; readonly value?: string }[];
  readonly securityContext: unknown;
  readonly livenessProbe: { readonly httpGet: unknown };
  readonly readinessProbe: { readonly httpGet: unknown };
  readonly volumeMounts: readonly { readonly name: string; readonly mountPath: string }[];
}
interface PodSpec {
  readonly terminationGracePeriodSeconds: number;
  readonly automountServiceAccountToken: boolean;
  readonly securityContext: { readonly [key: string]: unknown };
  readonly containers: readonly Container[];
  readonly volumes: readonly { readonly name: string }[];
}
interface AnyManifest extends Manifest {
  readonly data?: Readonly<Record<string, string>>;
  readonly spec?: Readonly<Record<string, unknown>> & {
    readonly template?: { readonly metadata: Manifest['metadata']; readonly spec: PodSpec };
  };
}

/** Kinds that an operator brings along and Kubernetes knows nothing of. */
const foreign = ['ServiceMonitor', 'PrometheusRule'];

let folder: TemporaryFolder;
let count = 0;

beforeAll(async () => {
  folder = await temporaryFolder('larder-helm');
});
afterAll(() => folder?.remove());

async function helm(command: readonly string[], values: Values): Promise<string> {
  const file = join(folder.path, `values-${count++}.yaml`);
  await writeFile(file, JSON.stringify(values));
  const { stdout } = await run(findProgram('helm') ?? '', [...command, '--values', file], { maxBuffer: 1e8 });
  return stdout;
}

async function render(values: Values, from = chart): Promise<AnyManifest[]> {
  const text = await helm(['template', 'larder', from, '--namespace', 'tools'], values);
  return parseAllDocuments(text).flatMap((one) => (one.toJS() as AnyManifest | null) ?? []);
}

function one(manifests: readonly AnyManifest[], kind: string): AnyManifest {
  const found = manifests.filter((manifest) => manifest.kind === kind);
  if (found.length !== 1 || !found[0]) throw new Error(`${found.length} manifests of kind ${kind}`);
  return found[0];
}

function podOf(manifests: readonly AnyManifest[]): PodSpec {
  const spec = one(manifests, 'StatefulSet').spec?.template?.spec;
  if (!spec) throw new Error('the set has no pod');
  return spec;
}

/** What the server would run, after its own check. The certificate is the secret's. */
async function configOf(manifests: readonly AnyManifest[]): Promise<Config> {
  const file = join(folder.path, `larder-${count++}.yaml`);
  const text = one(manifests, 'ConfigMap').data?.['larder.yaml'] ?? '';
  await writeFile(file, text.replace(/^ {2}tls:\n(?: {4}.*\n)+/m, ''));
  return loadConfig(file, { INNER_TOKEN: 'secret' });
}

describe('the check of manifests', () => {
  const good = {
    apiVersion: 'apps/v1',
    kind: 'StatefulSet',
    metadata: { name: 'a' },
    spec: {
      serviceName: 'a',
      selector: { matchLabels: { a: 'b' } },
      template: {
        metadata: { labels: { a: 'b' } },
        spec: { containers: [{ name: 'c', image: 'd', securityContext: { readOnlyRootFilesystem: true } }] },
      },
    },
  };
  const container = good.spec.template.spec.containers[0];
  const withContainer = (changed: object) => ({
    ...good,
    spec: { ...good.spec, template: { ...good.spec.template, spec: { containers: [{ ...container, ...changed }] } } },
  });

  it.skipIf(reason).each([
    ['one that is right', good, []],
    [
      'a misspelt field, deep inside',
      withContainer({ securityContext: { readOnlyRootFileSystem: true } }),
      [
        expect.stringContaining(
          'no schema knows /spec/template/spec/containers/0/securityContext/readOnlyRootFileSystem',
        ),
      ],
    ],
    ['a misspelt field at the top', { ...good, specs: {} }, [expect.stringContaining('no schema knows /specs')]],
    [
      'a value of another type',
      withContainer({ ports: [{ containerPort: '5273' }] }),
      [expect.stringContaining('must be integer')],
    ],
    [
      'a field that is not there',
      withContainer({ name: undefined }),
      [expect.stringContaining('required property name')],
    ],
    [
      'a version that is not there',
      { ...good, apiVersion: 'apps/v7' },
      [expect.stringContaining('no StatefulSet in apps/v7')],
    ],
  ])('finds %s', (_name, manifest, expected) => {
    expect(complaints(manifest)).toEqual(expected);
  });
});

describe.skipIf(reason).each(Object.entries(sets))(
  `the chart with %s${reason ? ` (${reason})` : ''}`,
  (_name, values) => {
    it('passes helm lint', async () => {
      expect(await helm(['lint', '--strict', chart], values)).toContain('0 chart(s) failed');
    });

    it('makes manifests that Kubernetes knows every field of', async () => {
      const manifests = await render(values);
      const own = manifests.filter(({ kind }) => !foreign.includes(kind));
      expect(own.length).toBeGreaterThan(3);
      expect(own.flatMap(complaints)).toEqual([]);
    });

    it('makes a configuration that Larder takes', async () => {
      const manifests = (await render(values)).filter(({ metadata }) => !metadata.name.includes('-dashboard-'));
      const config = await configOf(manifests);
      expect(config.server.listen).toEqual({ host: '0.0.0.0', port: 5273 });
      expect(config.storage.path).toBe('/data');
      // The kubelet's patience is longer than the server's.
      expect(podOf(manifests).terminationGracePeriodSeconds * 1000).toBeGreaterThan(config.server.drainMs);
    });

    it('keeps to the restricted profile for pods, read-only', async () => {
      const manifests = await render(values);
      const pods = [podOf(manifests), one(manifests, 'Pod').spec as unknown as PodSpec];
      for (const pod of pods) {
        expect(pod.automountServiceAccountToken).toBe(false);
        expect(pod.securityContext).toMatchObject({
          runAsNonRoot: true,
          runAsUser: 1000,
          seccompProfile: { type: 'RuntimeDefault' },
        });
        for (const { securityContext } of pod.containers)
          expect(securityContext).toEqual({
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          });
      }
    });
  },
);

describe.skipIf(reason)('the chart', () => {
  it('is of the version of the program', async () => {
    const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string };
    expect(parse(await readFile(join(chart, 'Chart.yaml'), 'utf8'))).toMatchObject({ appVersion: version });
    expect(podOf(await render({ image })).containers[0]?.image).toBe(`registry.example.com/larder:${version}`);
  });

  it('runs one process, and keeps its folder when it is taken away', async () => {
    const manifests = await render({ image });
    expect(one(manifests, 'StatefulSet').spec).toMatchObject({ replicas: 1 });
    expect(one(manifests, 'PersistentVolumeClaim').metadata.annotations).toEqual({ 'helm.sh/resource-policy': 'keep' });
    expect(podOf(manifests).volumes[0]).toEqual({ name: 'data', persistentVolumeClaim: { claimName: 'larder' } });
  });

  it('takes a claim that exists, or none at all', async () => {
    const existing = await render({ image, persistence: { existingClaim: 'old' } });
    expect(podOf(existing).volumes[0]).toEqual({ name: 'data', persistentVolumeClaim: { claimName: 'old' } });
    expect(existing.map(({ kind }) => kind)).not.toContain('PersistentVolumeClaim');
    const none = await render(trial);
    expect(podOf(none).volumes[0]).toEqual({ name: 'data', emptyDir: { sizeLimit: '5Gi' } });
    expect(none.map(({ kind }) => kind)).not.toContain('PersistentVolumeClaim');
  });

  it('lets a configuration count alone', async () => {
    const access = [{ who: ['members'], may: ['read'] }];
    const config = { orgs: { acme: { repositories: {}, access } } };
    expect(Object.keys((await configOf(await render({ image, config }))).orgs)).toEqual(['acme']);
    expect(Object.keys((await configOf(await render({ image }))).orgs)).toEqual(['public']);
  });

  it('restarts the pod for a changed configuration, unless it is told not to', async () => {
    const annotations = async (values: Values) =>
      one(await render({ image, ...values }), 'StatefulSet').spec?.template?.metadata.annotations;
    const config = { storage: { maxSize: '1GB' } };
    const [before, after] = [await annotations({}), await annotations({ config })];
    expect(before?.['checksum/config']).toMatch(/^[0-9a-f]{64}$/);
    expect(after?.['checksum/config']).not.toBe(before?.['checksum/config']);
    expect(await annotations({ restartOnChange: false, config })).toBeUndefined();
  });

  it('asks and offers TLS where it has a certificate', async () => {
    const manifests = await render({ image, tls: { secretName: 'mine' } });
    const text = one(manifests, 'ConfigMap').data?.['larder.yaml'] ?? '';
    expect(parse(text)).toMatchObject({
      server: { tls: { cert: '/etc/larder-tls/tls.crt', key: '/etc/larder-tls/tls.key' } },
    });
    const pod = podOf(manifests);
    expect(pod.containers[0]?.volumeMounts).toContainEqual({
      name: 'tls',
      mountPath: '/etc/larder-tls',
      readOnly: true,
    });
    expect(pod.volumes).toContainEqual({ name: 'tls', secret: { secretName: 'mine', defaultMode: 0o440 } });
    expect(pod.containers[0]?.livenessProbe.httpGet).toEqual({ path: '/healthz', port: 'http', scheme: 'HTTPS' });
    expect(pod.containers[0]?.readinessProbe.httpGet).toEqual({ path: '/readyz', port: 'http', scheme: 'HTTPS' });
  });

  it('puts no secret into the configuration', async () => {
    const manifests = (await render(everything)).filter(({ metadata }) => !metadata.name.includes('-dashboard-'));
    expect(one(manifests, 'ConfigMap').data?.['larder.yaml']).toContain('bearer: $' + '{INNER_TOKEN}');
  });

  it('takes the values that docs/deployment.md shows', async () => {
    const page = await readFile(join(root, 'docs/deployment.md'), 'utf8');
    const [, shown = ''] = /^```yaml\n(config:\n[\s\S]*?)^```$/m.exec(page) ?? [];
    const manifests = await render({ image, ...(parse(shown) as Values) });
    expect(manifests.filter(({ kind }) => !foreign.includes(kind)).flatMap(complaints)).toEqual([]);
    const config = await configOf(manifests.filter(({ metadata }) => !metadata.name.includes('-dashboard-')));
    expect(config.orgs.acme?.repositories.npm?.sources).toHaveLength(2);
  });

  it('tells the Prometheus operator what grafana/ tells Prometheus', async () => {
    const manifests = await render(everything);
    expect(one(manifests, 'PrometheusRule').spec).toEqual(
      parse(await readFile(join(root, 'grafana/alerts.yaml'), 'utf8')),
    );
    expect(one(manifests, 'ServiceMonitor').spec).toEqual({
      selector: { matchLabels: { 'app.kubernetes.io/name': 'larder', 'app.kubernetes.io/instance': 'larder' } },
      endpoints: [
        {
          port: 'http',
          path: '/metrics',
          interval: '30s',
          scheme: 'https',
          tlsConfig: { insecureSkipVerify: true },
          relabelings: [{ targetLabel: 'job', replacement: 'larder' }],
        },
      ],
    });
  });

  it('brings every dashboard', async () => {
    const found = (await render(everything)).filter(({ metadata }) => metadata.labels?.grafana_dashboard === '1');
    const shown = Object.assign({}, ...found.map(({ data }) => data)) as Readonly<Record<string, string>>;
    const files = readdirSync(join(root, 'grafana/dashboards'));
    expect(files.length).toBeGreaterThan(0);
    expect(shown).toEqual(
      Object.fromEntries(
        files.map((file) => [`larder-${file}`, readFileSync(join(root, 'grafana/dashboards', file), 'utf8')]),
      ),
    );
    // A cluster takes no larger one.
    for (const one of found) expect(JSON.stringify(one).length).toBeLessThan(1_000_000);
  });

  it('is the same as a package as it is as a folder', async () => {
    await run(findProgram('helm') ?? '', ['package', chart, '--destination', folder.path]);
    const [file = ''] = readdirSync(folder.path).filter((name) => name.endsWith('.tgz'));
    expect(await render(everything, join(folder.path, file))).toEqual(await render(everything));
  });

  test.each([
    ['no repository of the image', {}, 'image.repository is where you keep the image'],
    ['a value that is not there', { image: { ...image, repo: 'x' } }, 'Additional property repo'],
    ['an address of its own', { image, config: { server: { listen: '127.0.0.1:1' } } }, 'config.server'],
    ['a folder of its own', { image, config: { storage: { path: '/x' } } }, 'config.storage'],
    ['more than one process', { image, replicas: 2 }, 'Additional property replicas'],
    ['an Ingress for no host', { image, ingress: { enabled: true } }, 'ingress.hosts are the names'],
  ])('refuses %s', async (_name, values, message) => {
    await expect(render(values)).rejects.toThrow(message);
  });
});
