/**
 * Plants a mistake in the one member that loads this before its program: of an entry that holds
 * the text `deviate here` the value is applied wrong, or nothing, or all of it twice, as the query
 * of this module's URL says.
 */
import { StateMachine } from '../../../dist/server/state-machine.js';

const marker = 'deviate here';
const kind = new URL(import.meta.url).searchParams.get('kind');
const { apply } = StateMachine.prototype;

StateMachine.prototype.apply = function (data) {
  const at = Buffer.from(data).indexOf(marker);
  if (at < 0) return apply.call(this, data);
  if (kind === 'skipped') return undefined;
  if (kind === 'doubled') {
    apply.call(this, data);
    return apply.call(this, data);
  }
  const wrong = Buffer.from(data);
  wrong.write('deviates so.', at);
  return apply.call(this, wrong);
};
