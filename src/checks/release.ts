import type { Tunnel } from '../tunnel/tunnel.ts';
import type { Workbench } from './workbench.ts';

/** Whether the account on the server is one of ours indeed, which can release its port. Ends nothing there. */
export async function canRelease(tunnel: Tunnel, bench: Workbench): Promise<boolean> {
  return /^revtun-device \d/m.test(await askAccount(tunnel, bench, 'hello'));
}

/** Ends what other sessions this account has on the server; a tunnel that runs would be one of them. */
export async function releasePort(tunnel: Tunnel, bench: Workbench): Promise<void> {
  await askAccount(tunnel, bench, 'release');
}

/** What the account's only program says to a word, '' where something else or nobody answers. */
async function askAccount(tunnel: Tunnel, bench: Workbench, word: 'hello' | 'release'): Promise<string> {
  const { code, stdout } = await bench.ssh(tunnel, ['-T'], [], { timeoutMs: bench.limit }, [word]);
  return code === 0 ? stdout : '';
}
