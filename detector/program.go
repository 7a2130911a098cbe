package detector

// Version of the rules file this package reads.
const rulesVersion = 1
