/** Settings of the clients that pull from container registries. */
import {
  type ClientSetup,
  isPlainRemote,
  type OwnFile,
  type Setting,
  type SettingsFile,
  type SetupTarget,
} from '../../core/client-setup.ts';

const dockerHub = 'docker.io';

interface Mirror {
  /** Of the registry whose images come from here. */
  readonly name: string;
  readonly repository: string;
}

function namesIn(namespaces: readonly string[]): readonly string[] {
  const names = namespaces.filter((name) => /^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(:\d+)?$/.test(name));
  // Its further host names are in no image's name: clients write this one instead of them.
  return names.includes(dockerHub) ? names.filter((name) => !name.endsWith(`.${dockerHub}`)) : names;
}

/** Each registry once, from the first repository that has it. */
function mirrorsOf(target: SetupTarget): readonly Mirror[] {
  const { namespaces, repository, others } = target;
  const known = namespaces.length > 0 ? namespaces : [dockerHub];
  const found = new Map<string, Mirror>();
  for (const one of [{ repository, namespaces: known }, ...others]) {
    for (const name of namesIn(one.namespaces)) {
      if (!found.has(name)) found.set(name, { name, repository: one.repository });
    }
  }
  return [...found.values()];
}

function hubOf(target: SetupTarget): Mirror | undefined {
  return mirrorsOf(target).find(({ name }) => name === dockerHub);
}

/** Host and port; clients always look for `/v2/` at its top. */
function hostOf({ root }: SetupTarget): string {
  return new URL(root).host;
}

/** What image names begin with. */
function prefixOf(target: SetupTarget, repository = target.repository): string {
  return `${hostOf(target)}/${repository}`;
}

function isPlain({ root }: SetupTarget): boolean {
  return root.startsWith('http:');
}

/** An image by its full name. */
function example(target: SetupTarget): string {
  const hub = hubOf(target);
  return hub ? `${prefixOf(target, hub.repository)}/library/alpine` : `${prefixOf(target)}/NAME`;
}

/** Registry clients know no sub-paths: what they ask of `/v2/` has to arrive as it is. */
function subPath(target: SetupTarget): readonly string[] {
  const { origin, pathname } = new URL(target.root);
  return pathname === '/' ? [] : [`The proxy in front has to pass ${origin}/v2/ on to Larder too, unchanged.`];
}

function login(command: string, target: SetupTarget): readonly string[] {
  const { tokenVariable } = target;
  if (tokenVariable === undefined) return [];
  return [`printenv ${tokenVariable} | ${command} login ${hostOf(target)} --username token --password-stdin`];
}

/** dockerd knows mirrors of Docker Hub only, and up to 28 refuses one with a path. */
function docker(target: SetupTarget): SettingsFile[] {
  const settings: Setting[] = [
    ...(hubOf(target) ? [{ key: 'registry-mirrors', value: [new URL(target.root).origin] }] : []),
    ...(isPlainRemote(target.root) ? [{ key: 'insecure-registries', value: [hostOf(target)] }] : []),
  ];
  const rootless = ({ DOCKER_HOST, XDG_CONFIG_HOME }: Readonly<Record<string, string | undefined>>) =>
    DOCKER_HOST?.startsWith('unix:///run/user/') ? `${XDG_CONFIG_HOME || '.config'}/docker/daemon.json` : undefined;
  return [{ user: (environment) => rootless(environment) ?? '/etc/docker/daemon.json', syntax: 'json', settings }];
}

function dockerNotes(target: SetupTarget): string[] {
  const { hostname } = new URL(target.root);
  const hub = hubOf(target);
  const condition = target.atRoot === undefined ? ', unless it does already' : '';
  return [
    ...(hub && target.atRoot !== hub.repository
      ? [
          `Docker asks a mirror without naming a repository, so Larder's configuration has to say${condition}: hosts: { "${hostname}": ${hub.repository} }`,
        ]
      : []),
    ...(hub
      ? [
          `With a mirror Docker still goes to Docker Hub itself when Larder says no or is away; a full name keeps it here:`,
        ]
      : ['Docker has mirrors for Docker Hub only; these images come from here by their full name:']),
    `docker pull ${example(target)}`,
    ...subPath(target),
    ...login('docker', target),
    ...(tokenless(target) ? [] : ['Docker shows no credentials to a mirror, only where it was logged in.']),
    'Docker reads the file when it starts: systemctl restart docker',
  ];
}

function tokenless({ tokenVariable }: SetupTarget): boolean {
  return tokenVariable === undefined;
}

/** Already all that stands before an image's name. */
function mirrorUrl({ root }: SetupTarget, { repository }: Pick<Mirror, 'repository'>): string {
  return JSON.stringify(`${root}/v2/${repository}`);
}

/**
 * One file for each registry. `server` is what is asked last, which would be the registry itself; `override_path`, because
 * the path is whole. containerd 1.6 takes no file without a `host`.
 */
function containerd(target: SetupTarget): SettingsFile[] {
  return mirrorsOf(target).map((mirror) => {
    const url = mirrorUrl(target, mirror);
    return {
      user: () => `/etc/containerd/certs.d/${mirror.name}/hosts.toml`,
      syntax: 'whole',
      comment: '#',
      text: [
        `server = ${url}`,
        'override_path = true',
        '',
        `[host.${url}]`,
        '  capabilities = ["pull", "resolve"]',
        '  override_path = true',
        '',
      ].join('\n'),
    };
  });
}

function containerdNotes(target: SetupTarget): string[] {
  const { tokenVariable } = target;
  return [
    'containerd reads it at once if its config.toml names the folder: config_path = "/etc/containerd/certs.d"',
    'below [plugins."io.containerd.cri.v1.images".registry], in containerd 1 [plugins."io.containerd.grpc.v1.cri".registry]',
    'ctr images pull --hosts-dir /etc/containerd/certs.d IMAGE reads it whatever config.toml says.',
    ...(tokenVariable === undefined
      ? []
      : [
          `The file can name no variable. For credentials, put below [host.${mirrorUrl(target, target)}.header] what this prints:`,
          `printf 'authorization = "Basic %s"\\n' "$(printf 'token:%s' "$${tokenVariable}" | base64 -w0)"`,
        ]),
  ];
}

/** A file for each registry, so that those of several repositories stand side by side. `location` is no mirror: nothing else is asked. */
function registriesConf(folder: string): (target: SetupTarget) => SettingsFile[] {
  return (target) =>
    mirrorsOf(target).map(
      ({ name, repository }): OwnFile => ({
        user: () => `${folder}/larder-${name}.conf`,
        syntax: 'whole',
        comment: '#',
        text: [
          '[[registry]]',
          `prefix = ${JSON.stringify(name)}`,
          `location = ${JSON.stringify(prefixOf(target, repository))}`,
          ...(isPlain(target) ? ['insecure = true'] : []),
          '',
        ].join('\n'),
      }),
    );
}

function podmanNotes(target: SetupTarget): string[] {
  return [...subPath(target), ...login('podman', target)];
}

function buildkit(target: SetupTarget): SettingsFile[] {
  return [
    {
      user: () => '/etc/buildkit/buildkitd.toml',
      syntax: 'toml',
      settings: [
        ...mirrorsOf(target).map(({ name, repository }) => ({
          table: `registry.${JSON.stringify(name)}`,
          key: 'mirrors',
          value: [prefixOf(target, repository)],
        })),
        ...(isPlain(target) ? [{ table: `registry.${JSON.stringify(hostOf(target))}`, key: 'http', value: true }] : []),
      ],
    },
  ];
}

function buildkitNotes(target: SetupTarget): string[] {
  return [
    'BuildKit goes to the registry itself when Larder says no or is away; FROM with a full name keeps it here:',
    `FROM ${example(target)}`,
    ...subPath(target),
    ...login('docker', target),
    'buildkitd reads the file when it starts: docker buildx create --use --buildkitd-config FILE',
  ];
}

/** Helm has no mirrors: a chart is named in full. */
function helmNotes(target: SetupTarget): string[] {
  return [
    `helm pull oci://${prefixOf(target)}/CHART --version VERSION${isPlain(target) ? ' --plain-http' : ''}`,
    ...(isPlain(target) ? ['Helm before 3.13 has no --plain-http and needs none for 127.0.0.1.'] : []),
    ...subPath(target),
    ...login('helm registry', target),
  ];
}

export const setups: readonly ClientSetup[] = [
  { client: 'docker', title: 'Docker', files: docker, notes: dockerNotes },
  { client: 'containerd', title: 'containerd, Kubernetes with it, nerdctl', files: containerd, notes: containerdNotes },
  {
    client: 'podman',
    title: 'Podman, Buildah, Skopeo',
    files: registriesConf('.config/containers/registries.conf.d'),
    notes: podmanNotes,
  },
  {
    client: 'cri-o',
    title: 'CRI-O, and Podman for every user',
    files: registriesConf('/etc/containers/registries.conf.d'),
    notes: (target) => [...podmanNotes(target), 'systemctl reload crio'],
  },
  { client: 'buildkit', title: 'BuildKit', files: buildkit, notes: buildkitNotes },
  { client: 'helm', title: 'Helm, charts in registries', files: () => [], notes: helmNotes },
];
