import { type MediaKind, type Step, steps } from './contract.ts'
import { formatEta, formatSpeed } from './format.ts'
import { inPlainWords } from './problem.ts'
import type { Upload } from './upload-state.ts'

const stepTexts: Readonly<Record<Step, (kind: MediaKind | null) => string>> = {
  assemble: () => 'Putting the pieces together',
  identify: () => 'Checking the file type',
  scan: () => 'Checking for viruses',
  probe: (kind) => `Reading ${kind ?? 'file'}`,
  thumbnail: () => 'Making thumbnail',
  storyboard: () => 'Making preview pictures',
  audio: () => 'Reading the sound',
  image: () => 'Removing private data',
  publish: () => 'Publishing',
  notify: () => 'Finishing',
}

const activityTexts = {
  waiting: 'Waiting',
  sending: 'Uploading',
  retrying: 'Interrupted, trying again',
  paused: 'Paused',
} as const

/** The words that are read out when they change; no numbers, which change all the time. */
export function stateText({ phase, kind }: Upload): string {
  switch (phase.state) {
    case 'open':
      return activityTexts[phase.activity]
    case 'processing':
      return phase.step === null ? 'Received, waiting to be checked' : stepTexts[phase.step](kind)
    case 'ready':
      return 'Ready'
    case 'rejected':
    case 'failed':
    case 'stopped':
      return inPlainWords(phase.reason)
    case 'terminated':
      return 'Cancelled'
    case 'expired':
      return 'Left unfinished for too long'
    case 'deleted':
      return 'Deleted'
  }
}

/** `4.2 MB/s · 20 s left`, or nothing to say. */
export function paceText({ phase }: Upload): string {
  if (phase.state !== 'open' || phase.activity !== 'sending' || phase.bytesPerSecond === null) return ''
  const eta = phase.etaSeconds === null ? '' : formatEta(phase.etaSeconds)
  return [formatSpeed(phase.bytesPerSecond), eta].filter(Boolean).join(' · ')
}

/** How many of the steps are behind the file. */
export function stepsDone(step: Step | null): number {
  return step === null ? 0 : steps.indexOf(step)
}
