import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { local } from '../../src/machine/local.ts';
import type { Identity, Machine } from '../../src/machine/machine.ts';
import { SSH } from '../../src/tunnel/ssh.ts';
import { freshFolder } from '../lab/paths.ts';

/** Somebody with a home and an ssh_config of their own on this machine; the ssh that reads it is the real one. */
export interface Caller {
  readonly machine: Machine;
  readonly who: Identity;
  /** Puts a file into the home. */
  write(path: string, text: string): void;
  dispose(): void;
}

export function makeCaller(sshConfig = '', who: Partial<Identity> = {}): Caller {
  const home = freshFolder();
  const config = join(home, '.ssh/config');
  const write: Caller['write'] = (path, text) => {
    mkdirSync(join(home, path, '..'), { recursive: true });
    writeFileSync(join(home, path), text);
  };
  write('.ssh/config', sshConfig);
  return {
    // ssh looks the home up in the user database, whatever HOME says.
    machine: { ...local, run: (argv, options) => local.run(argv[0] === SSH && argv[1] === '-G' ? [SSH, '-F', config, ...argv.slice(1)] : argv, options) },
    who: { uid: 1000, userName: 'ann', home, env: {}, ...who },
    write,
    dispose: () => rmSync(home, { recursive: true }),
  };
}
