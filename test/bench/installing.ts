import { SERVICE_USER_COMMENT } from '../../src/plan/present.ts';
import { SERVICE_USER } from '../../src/unit/render.ts';
import { CLI, type World } from '../e2e/world.ts';
import type { Timing } from './agent.ts';
import type { Measurer } from './measurer.ts';
import { compare, ms, type Result } from './result.ts';
import { interleave, type Series } from './series.ts';

const ROUNDS = 9;
const PORT = 22222;
const KNOWN_HOSTS = '/srv/bench/known_hosts';
const PREPARED = '/srv/bench/prepared';

/**
 * The time from the start of an install until a connection to the server's port gets the device's banner, beside the same
 * files put in place by a prepared script, which checks nothing.
 */
export async function measureInstalling(world: World<never>, device: Measurer, server: Measurer): Promise<Result[]> {
  const install = ['install', 'home', '--host', 'pi@server.test', '--remote-port', String(PORT)];
  const reset = async () => {
    await world.device.succeed([process.execPath, CLI, 'uninstall', '--all', '--quiet']);
    await server.call('untilClosed', PORT, 10_000);
  };
  const ended: Record<string, number[]> = {};
  const untilUsable = (name: string, argv: readonly string[]) => async () => {
    const [usable, timing] = await Promise.all([server.call('untilUsable', PORT, 30_000), device.call('time', argv)]);
    await reset();
    (ended[name] ??= []).push(lasted(timing));
    return usable - timing.started;
  };
  const ours = (name: string, ...more: string[]) => untilUsable(name, [process.execPath, CLI, ...install, ...more, '--quiet']);

  await world.device.writeFile(KNOWN_HOSTS, await world.server.knownHostsLine());
  await world.device.succeed([process.execPath, CLI, ...install, '--known-hosts', KNOWN_HOSTS]);
  await world.device.succeed(['sh', '-c', keepFiles, 'sh', PREPARED]);
  await reset();

  const usable = await interleave(ROUNDS, {
    byHand: untilUsable('byHand', ['sh', '-c', installByHand, 'sh', PREPARED, SERVICE_USER, SERVICE_USER_COMMENT]),
    knownHosts: ours('knownHosts', '--known-hosts', KNOWN_HOSTS),
    hostKey: ours('hostKey', '--host-key', world.fingerprint),
    noVerify: ours('noVerify', '--known-hosts', KNOWN_HOSTS, '--no-verify'),
  });
  const beside = (what: string, series: Series, against: Series, aim?: number) =>
    compare({ what, ours: series, against, show: ms, best: 'least', ...(aim !== undefined && { aim: { bound: 'at most', ratio: aim } }) });
  return [
    beside('install `--known-hosts` until usable : by hand', usable.knownHosts, usable.byHand, 1.5),
    beside('install `--host-key` until usable : by hand', usable.hostKey, usable.byHand, 1.5),
    beside('install `--known-hosts --no-verify` until usable : by hand', usable.noVerify, usable.byHand, 1.5),
    beside('install `--known-hosts` until it ends, proof included : by hand', ended['knownHosts']!, ended['byHand']!),
    beside('install `--host-key` until it ends, proof included : by hand', ended['hostKey']!, ended['byHand']!),
    beside('install `--known-hosts --no-verify` until it ends : by hand', ended['noVerify']!, ended['byHand']!),
  ];
}

const lasted = ({ started, ended }: Timing) => ended - started;

const keepFiles = `
set -e
mkdir -p "$1"
cp /etc/revtun/home/known_hosts /etc/revtun/home/ssh_config /etc/systemd/system/revtun-home.service "$1"
`;

const installByHand = `
set -e
useradd --system --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin --comment "$3" "$2"
mkdir -p /etc/revtun/home
cp "$1/known_hosts" "$1/ssh_config" /etc/revtun/home/
cp "$1/revtun-home.service" /etc/systemd/system/
systemctl daemon-reload
systemctl enable --now --quiet revtun-home.service
`;
