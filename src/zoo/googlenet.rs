//! GoogLeNet: nine Inception blocks (L21), and two auxiliary heads while it is trained; the winner of 2014 (E26).
//!
//! `googlenet` is the paper's: convolutions with bias and ReLU, 5x5 kernels in the third branch, local response
//! normalisation around the second stage; its main path has 6,998,552 parameters, and 13,378,280 with both heads (as
//! Caffe's `bvlc_googlenet`, whose layers have these names but for the underscore after `inception`). `googlenet-bn` is
//! the form whose weights torchvision publishes: batch normalisation instead of biases, and 3x3 kernels where the paper
//! has 5x5; 6,624,904 parameters without the heads, 13,004,888 with them.
//!
//! Each head is a classifier on a middle layer, whose loss counts 0.3 (section 5 of the paper). They take no part in a
//! prediction.
//!
//! Source: Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, table 1.
