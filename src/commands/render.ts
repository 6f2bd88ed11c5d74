import { join, resolve } from 'node:path';
import { hasAes, mayMakeNamespaces } from '../checks/facts.ts';
import { lookUp } from '../checks/hostKey.ts';
import { requireRisksAccepted } from '../checks/preflight.ts';
import { refused, usage } from '../errors.ts';
import type { Draft } from '../input/fields.ts';
import { resolveTunnel } from '../input/resolve.ts';
import { isOurs } from '../template.ts';
import { knownHostsName } from '../tunnel/destination.ts';
import type { Tunnel } from '../tunnel/tunnel.ts';
import { placesOf } from '../unit/places.ts';
import { type OutputFile, renderFiles } from '../unit/render.ts';
import type { Context } from './context.ts';

/** Prints the files that install would write; touches nothing, needs neither systemd nor root nor the server. */
export async function render(context: Context, directory: string | undefined, draft: Draft): Promise<void> {
  const { machine, who, output, cwd } = context;
  const aes = await hasAes(machine);
  const { tunnel } = await resolveTunnel(draft, machine, { who, aes });
  requireRisksAccepted(tunnel, draft.acceptRisk ?? []);
  const places = placesOf(tunnel.scope, tunnel.name, who.home);
  const knownHosts = await offlineHostKeys(context, tunnel, draft.knownHosts);
  const files = renderFiles(tunnel, places, knownHosts, { lingering: false, namespaces: tunnel.scope === 'system' || (await mayMakeNamespaces(machine, who)) });
  if (directory !== undefined) await writeInto(context, resolve(cwd, directory), files);
  output.object({ ok: true, changed: directory !== undefined, name: tunnel.name, scope: tunnel.scope, unit: places.unit, files });
  if (!output.json && directory === undefined) output.result(files.map(({ path, content }) => `# ${path}\n${content}`).join('\n'));
}

async function offlineHostKeys({ machine }: Context, tunnel: Tunnel, file: string | undefined): Promise<string> {
  const names = [...tunnel.jump, tunnel].map(({ host, port }) => knownHostsName(host, port ?? 22));
  if (file === undefined) return names.map((name) => `# (the host key of ${name}, pinned by install)\n`).join('');
  const found = await Promise.all(names.map((name) => lookUp(machine, name, file)));
  const missing = names.filter((_, index) => found[index]!.length === 0);
  if (missing.length > 0) throw usage(`--known-hosts: ${file} holds no key for ${missing.join(', ')}`);
  return names.flatMap((name, index) => found[index]!.map(({ key }) => `${name} ${key.type} ${key.blob}\n`)).join('');
}

async function writeInto({ machine, output }: Context, directory: string, files: readonly OutputFile[]): Promise<void> {
  if ((await machine.stat(directory)) === undefined) await machine.makeDirectory(directory, 0o755);
  for (const { path, content, mode } of files) {
    const target = join(directory, path.split('/').at(-1)!);
    const there = await machine.stat(target);
    if (there && (there.kind !== 'file' || !isOurs((await machine.read(target)) ?? ''))) {
      throw refused('not-ours', `--output: ${target} is there already and was not written by revtun-setup.`, 'Name an empty directory.');
    }
    await machine.write(target, content, mode);
    output.mark('done', `wrote ${target}`);
  }
}
