import type { Step } from '../step/step.ts'

/** Wakes listeners that wait for the outcome; the events were written with the change itself. */
export const notify: Step = {
  name: 'notify',
  after: ['publish'],
  async run({ media, notifyListeners }) {
    notifyListeners(media.upload_id)
    return {}
  },
}
