import { runOf } from './followed.ts';
import { type Proven, rowsOfProof, type Seen, toldOf } from './seen.ts';

/** Takes note of what has changed since it was last told, one line each, with the time. */
export interface Changes {
  saw(seen: Seen | undefined): void;
  proved(proven: Proven): void;
}

/** @param name of the tunnel */
export function noteChanges(name: string, note: (line: string) => void): Changes {
  const told = { state: '', proof: '' };
  let before: Seen | undefined;
  const tell = (what: keyof typeof told, key: string, text: string) => {
    if (told[what] !== key) note(`${timeOf(new Date())} ${text}`);
    told[what] = key;
  };
  return {
    saw: (seen) => {
      if (!seen) return tell('state', 'silent', 'systemd does not answer');
      const { state, reason } = seen;
      const isUp = state.state === 'up';
      // A tunnel that stays down is one change, however often it is tried again.
      const key = [state.outdated, state.enabled, isUp ? runOf(state) : `${state.state} ${reason}`].join();
      const why = reason === undefined ? '' : isUp ? `; it was down: ${reason}` : `: ${reason}`;
      tell('state', key, `${name} is ${state.state}${toldOf(state)}${state.enabled ? '' : ', NOT started at boot'}${before || !isUp ? why : ''}`);
      // After a time down, the same proof is news.
      if (!before || runOf(before.state) !== runOf(state)) told.proof = '';
      before = seen;
    },
    proved: (proven) => {
      const text = rowsOfProof(proven).map((one) => one.text).join('; ');
      if (text !== '') tell('proof', text, text);
    },
  };
}

/** To the second; in UTC, as `since` is. */
export const timeOf = (date: Date) => date.toISOString().replace(/\.\d+/, '');
