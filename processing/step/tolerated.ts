import { ObjectTooLarge } from '../../storage/store/objects.ts'
import { ToolFailed, UnreadableInput } from '../tools/tool-errors.ts'
import type { StepContext } from './step.ts'

/**
 * Why a file does without what a step makes of it, by the failure of the step: the tool cannot read it, lacks its codec,
 * takes too long, or makes too much of it. A tool that was killed may work in the next attempt, and is tolerated in the
 * last one. Any other error is thrown: outages and verdicts.
 */
export function toleratedReason(
  error: unknown,
  { signal, isLastAttempt }: Pick<StepContext, 'signal' | 'isLastAttempt'>,
): string {
  const isTolerated =
    error instanceof UnreadableInput ||
    error instanceof ObjectTooLarge ||
    (error instanceof ToolFailed && (error.kind !== 'other' || isLastAttempt))
  if (signal.aborted || !isTolerated) throw error
  return error.message
}
